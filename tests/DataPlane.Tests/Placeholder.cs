namespace DataPlane.Tests;

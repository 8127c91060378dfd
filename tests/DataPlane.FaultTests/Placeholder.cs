namespace DataPlane.FaultTests;

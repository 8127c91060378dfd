using DataPlane.TestSupport;

[assembly: TestDeadline]

namespace DataPlane.Fuzz;

/// <summary>A reader has accepted or done what it may not.</summary>
public sealed class OracleException(string message) : Exception(message);

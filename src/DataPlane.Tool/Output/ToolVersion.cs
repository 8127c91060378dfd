using System.Reflection;

namespace DataPlane.Tool.Output;

/// <summary>The version of this build with the commit it was built from, where the build knew it: <c>0.1.0+abc…</c>.</summary>
internal static class ToolVersion
{
    public static string Current { get; } =
        typeof(ToolVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
}

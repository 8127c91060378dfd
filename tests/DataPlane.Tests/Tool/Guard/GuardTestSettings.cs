using DataPlane.Tool.Guard;

namespace DataPlane.Tests.Tool.Guard;

internal static class GuardTestSettings
{
    public static VmSettings Vm(string name, int port = 0) =>
        GuardConfig.Parse("test.conf", [$"[{name}]", $"listen = 127.0.0.1:{port}", $"qmp = unix:/run/{name}.qmp"])[0];
}

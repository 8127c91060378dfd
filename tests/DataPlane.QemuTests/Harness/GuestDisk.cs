using System.Buffers.Binary;

namespace DataPlane.QemuTests.Harness;

/// <summary>What the tests' guest does, see tests/qemu/guest/guest.S.</summary>
internal sealed record GuestDisk
{
    // SeaBIOS does not boot from a smaller disk.
    private const int DiskBytes = 1 << 20;
    private const int ParametersAt = 432;

    /// <summary>RAM holds random bytes only, no zero pages.</summary>
    public bool RandomOnly { get; init; }

    public uint WindowAddress { get; init; } = 32 << 20;

    /// <summary>The part of RAM that is rewritten without end; 0 for none.</summary>
    public uint WindowBytes { get; init; } = 16 << 20;

    /// <summary>Pages outside the window that the guest checks between two passes over the window.</summary>
    public uint PagesCheckedPerPass { get; init; } = 2048;

    public static string Source => Path.Combine(Repository.Root, "tests", "qemu", "guest", "guest.S");

    public static string Binary => Path.Combine(Repository.Root, "tests", "qemu", "guest", "guest.bin");

    public static string BuildScript => Path.Combine(Repository.Root, "tests", "qemu", "guest", "build");

    /// <summary>Writes the boot disk.</summary>
    public void Write(string path)
    {
        var disk = new byte[DiskBytes];
        File.ReadAllBytes(Binary).CopyTo(disk, 0);
        var parameters = disk.AsSpan(ParametersAt);
        if (!parameters.StartsWith("DPGUEST1"u8))
        {
            throw new InvalidDataException($"{Binary} has no parameters at {ParametersAt}");
        }

        parameters = parameters[8..];
        foreach (var value in (uint[])[RandomOnly ? 1u : 0, WindowAddress, WindowBytes, PagesCheckedPerPass, 0])
        {
            BinaryPrimitives.WriteUInt32LittleEndian(parameters, value);
            parameters = parameters[4..];
        }

        File.WriteAllBytes(path, disk);
    }
}

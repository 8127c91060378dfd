using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Send;

/// <summary>A VM in a file, with the machine that it came from and what its guest had said last.</summary>
internal sealed record SavedVm(string Path, QemuOptions Options, GuestReport Last);

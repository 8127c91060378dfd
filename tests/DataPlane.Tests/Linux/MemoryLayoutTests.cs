using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Linux;

/// <summary>Numbers and layouts of memory, file and tracking calls: ours against literals everywhere, the headers' where cc is.</summary>
public sealed class MemoryLayoutTests
{
    private const string Scan = "PAGEMAP_SCAN"; // headers before Linux 6.7 do not know it

    private static readonly (string C, string? Guard, long Ours, long Literal)[] s_numbers =
    [
        ("PROT_NONE", null, MemoryCalls.ProtNone, 0),
        ("PROT_READ", null, MemoryCalls.ProtRead, 1),
        ("PROT_WRITE", null, MemoryCalls.ProtWrite, 2),
        ("MAP_SHARED", null, MemoryCalls.MapShared, 1),
        ("MAP_PRIVATE", null, MemoryCalls.MapPrivate, 2),
        ("MAP_FIXED", null, MemoryCalls.MapFixed, 0x10),
        ("MAP_ANONYMOUS", null, MemoryCalls.MapAnonymous, 0x20),
        ("MAP_NORESERVE", null, MemoryCalls.MapNoReserve, 0x4000),
        ("MAP_HUGETLB | MAP_HUGE_2MB", "MAP_HUGE_2MB", MemoryCalls.MapHugePages, 0x54040000),
        ("(long)MAP_FAILED", null, MemoryCalls.MapFailed, -1),
        ("MADV_DONTNEED", null, MemoryCalls.AdviceDontNeed, 4),
        ("MADV_REMOVE", null, MemoryCalls.AdviceRemove, 9),
        ("MADV_HUGEPAGE", null, MemoryCalls.AdviceHugePage, 14),
        ("MADV_NOHUGEPAGE", null, MemoryCalls.AdviceNoHugePage, 15),
        ("MADV_POPULATE_WRITE", "MADV_POPULATE_WRITE", MemoryCalls.AdvicePopulateWrite, 23),
        ("MFD_CLOEXEC", null, MemoryCalls.MemfdCloseOnExec, 1),
        ("MFD_HUGETLB | MFD_HUGE_2MB", "MFD_HUGE_2MB", MemoryCalls.MemfdHugePages, 0x54000004),
        ("O_RDONLY", null, FileCalls.OpenReadOnly, 0),
        ("O_RDWR", null, FileCalls.OpenReadWrite, 2),
        ("O_CLOEXEC", null, FileCalls.OpenCloseOnExec, 0x80000),
        ("O_CLOEXEC", null, Userfaultfd.CloseOnExec, 0x80000),
        ("O_NONBLOCK", null, Userfaultfd.NonBlocking, 0x800),
        ("O_DIRECTORY", null, FileCalls.OpenDirectory, IsArm64 ? 0x4000 : 0x10000),
        ("FALLOC_FL_KEEP_SIZE", null, FileCalls.AllocateKeepSize, 1),
        ("FALLOC_FL_PUNCH_HOLE", null, FileCalls.AllocatePunchHole, 2),
        ("RUSAGE_SELF", null, ProcessCalls.UsageOfProcess, 0),
        ("RUSAGE_THREAD", null, ProcessCalls.UsageOfThread, 1),
        ("sizeof(struct rusage)", null, Unsafe.SizeOf<ResourceUsage>(), 144),
        ("offsetof(struct rusage, ru_stime)", null, Offset<ResourceUsage>(nameof(ResourceUsage.SystemSeconds)), 16),

        ("SYS_userfaultfd", null, UserfaultCalls.UserfaultfdCall, IsArm64 ? 282 : 323),
        ("UFFDIO_API", null, Userfaultfd.ApiRequest, 0xC018AA3F),
        ("UFFDIO_REGISTER", null, Userfaultfd.RegisterRequest, 0xC020AA00),
        ("UFFDIO_UNREGISTER", null, Userfaultfd.UnregisterRequest, 0x8010AA01),
        ("UFFDIO_WAKE", null, Userfaultfd.WakeRequest, 0x8010AA02),
        ("UFFDIO_COPY", null, Userfaultfd.CopyRequest, 0xC028AA03),
        ("UFFDIO_ZEROPAGE", null, Userfaultfd.ZeroPageRequest, 0xC020AA04),
        ("UFFDIO_POISON", "UFFDIO_POISON", Userfaultfd.PoisonRequest, 0xC020AA08),
        ("_UFFDIO_COPY", null, Userfaultfd.CopyNumber, 3),
        ("_UFFDIO_WAKE", null, Userfaultfd.WakeNumber, 2),
        ("USERFAULTFD_IOC_NEW", "USERFAULTFD_IOC_NEW", Userfaultfd.NewRequest, 0xAA00),
        ("UFFD_USER_MODE_ONLY", null, Userfaultfd.UserModeOnly, 1),
        ("UFFD_API", null, (long)UserfaultApi.Version, 0xAA),
        ("UFFDIO_REGISTER_MODE_MISSING", null, (long)UserfaultRegister.ModeMissing, 1),
        ("UFFDIO_REGISTER_MODE_WP", null, (long)UserfaultRegister.ModeWriteProtect, 2),
        ("UFFD_EVENT_PAGEFAULT", null, UserfaultMessage.PageFault, 0x12),
        ("UFFD_FEATURE_MISSING_HUGETLBFS", null, (long)UserfaultFeatures.MissingHuge, 0x10),
        ("UFFD_FEATURE_MISSING_SHMEM", null, (long)UserfaultFeatures.MissingShared, 0x20),
        ("UFFD_FEATURE_WP_HUGETLBFS_SHMEM", "UFFD_FEATURE_WP_HUGETLBFS_SHMEM", (long)UserfaultFeatures.WriteProtectShared, 0x1000),
        ("UFFD_FEATURE_WP_UNPOPULATED", "UFFD_FEATURE_WP_UNPOPULATED", (long)UserfaultFeatures.WriteProtectUnpopulated, 0x2000),
        ("UFFD_FEATURE_WP_ASYNC", "UFFD_FEATURE_WP_ASYNC", (long)UserfaultFeatures.WriteProtectAsync, 0x8000),
        ("sizeof(struct uffdio_api)", null, Unsafe.SizeOf<UserfaultApi>(), 24),
        ("offsetof(struct uffdio_api, features)", null, Offset<UserfaultApi>(nameof(UserfaultApi.Features)), 8),
        ("sizeof(struct uffdio_register)", null, Unsafe.SizeOf<UserfaultRegister>(), 32),
        ("offsetof(struct uffdio_register, range.len)", null, Offset<UserfaultRegister>(nameof(UserfaultRegister.Length)), 8),
        ("offsetof(struct uffdio_register, mode)", null, Offset<UserfaultRegister>(nameof(UserfaultRegister.Mode)), 16),

        ("sizeof(struct uffdio_range)", null, Unsafe.SizeOf<UserfaultRange>(), 16),
        ("sizeof(struct uffdio_copy)", null, Unsafe.SizeOf<UserfaultCopy>(), 40),
        ("offsetof(struct uffdio_copy, src)", null, Offset<UserfaultCopy>(nameof(UserfaultCopy.Source)), 8),
        ("offsetof(struct uffdio_copy, len)", null, Offset<UserfaultCopy>(nameof(UserfaultCopy.Length)), 16),
        ("offsetof(struct uffdio_copy, mode)", null, Offset<UserfaultCopy>(nameof(UserfaultCopy.Mode)), 24),
        ("offsetof(struct uffdio_copy, copy)", null, Offset<UserfaultCopy>(nameof(UserfaultCopy.Done)), 32),
        ("sizeof(struct uffdio_zeropage)", null, Unsafe.SizeOf<UserfaultFill>(), 32),
        ("offsetof(struct uffdio_zeropage, mode)", null, Offset<UserfaultFill>(nameof(UserfaultFill.Mode)), 16),
        ("offsetof(struct uffdio_zeropage, zeropage)", null, Offset<UserfaultFill>(nameof(UserfaultFill.Done)), 24),
        ("offsetof(struct uffdio_poison, updated)", "UFFDIO_POISON", Offset<UserfaultFill>(nameof(UserfaultFill.Done)), 24),
        ("sizeof(struct uffd_msg)", null, Unsafe.SizeOf<UserfaultMessage>(), 32),
        ("offsetof(struct uffd_msg, arg.pagefault.flags)", null, Offset<UserfaultMessage>(nameof(UserfaultMessage.Flags)), 8),
        ("offsetof(struct uffd_msg, arg.pagefault.address)", null, Offset<UserfaultMessage>(nameof(UserfaultMessage.Address)), 16),

        ("PAGEMAP_SCAN", Scan, PageScan.Request, 0xC0606610),
        ("PM_SCAN_WP_MATCHING", Scan, (long)PageScan.ProtectMatching, 1),
        ("PM_SCAN_CHECK_WPASYNC", Scan, (long)PageScan.RequireAsyncProtection, 2),
        ("PAGE_IS_WRITTEN", Scan, (long)PageScan.IsWritten, 2),
        ("sizeof(struct page_region)", Scan, Unsafe.SizeOf<PageRegion>(), 24),
        ("offsetof(struct page_region, end)", Scan, Offset<PageRegion>(nameof(PageRegion.End)), 8),
        ("sizeof(struct pm_scan_arg)", Scan, Unsafe.SizeOf<PageScanArgument>(), 96),
        ("offsetof(struct pm_scan_arg, walk_end)", Scan, Offset<PageScanArgument>(nameof(PageScanArgument.WalkEnd)), 32),
        ("offsetof(struct pm_scan_arg, vec)", Scan, Offset<PageScanArgument>(nameof(PageScanArgument.Vector)), 40),
        ("offsetof(struct pm_scan_arg, max_pages)", Scan, Offset<PageScanArgument>(nameof(PageScanArgument.MaxPages)), 56),
        ("offsetof(struct pm_scan_arg, category_mask)", Scan, Offset<PageScanArgument>(nameof(PageScanArgument.CategoryMask)), 72),
        ("offsetof(struct pm_scan_arg, return_mask)", Scan, Offset<PageScanArgument>(nameof(PageScanArgument.ReturnMask)), 88),

        ("EPERM", null, Errno.EPERM, 1),
        ("EINTR", null, Errno.EINTR, 4),
        ("EAGAIN", null, Errno.EAGAIN, 11),
        ("ENOTTY", null, Errno.ENOTTY, 25),
        ("ENOSPC", null, Errno.ENOSPC, 28),
        ("EPIPE", null, Errno.EPIPE, 32),
        ("ENOSYS", null, Errno.ENOSYS, 38),
        ("EPROTO", null, Errno.EPROTO, 71),
        ("EOPNOTSUPP", null, Errno.EOPNOTSUPP, 95),
        ("ENETUNREACH", null, Errno.ENETUNREACH, 101),
        ("ECONNABORTED", null, Errno.ECONNABORTED, 103),
        ("ECONNRESET", null, Errno.ECONNRESET, 104),
        ("ETIMEDOUT", null, Errno.ETIMEDOUT, 110),
        ("ECONNREFUSED", null, Errno.ECONNREFUSED, 111),
        ("EHOSTUNREACH", null, Errno.EHOSTUNREACH, 113),
        ("EINPROGRESS", null, Errno.EINPROGRESS, 115),
    ];

    private static bool IsArm64 => RuntimeInformation.ProcessArchitecture == Architecture.Arm64;

    [Fact]
    public void Our_numbers_and_layouts_are_those_of_the_kernel_interface()
        => Assert.All(s_numbers, number => Assert.Equal((number.C, number.Literal), (number.C, number.Ours)));

    [Fact]
    public async Task The_c_headers_of_this_machine_agree()
    {
        string[] headers =
        [
            "errno.h", "fcntl.h", "linux/fs.h", "linux/userfaultfd.h", "sys/ioctl.h", "sys/mman.h", "sys/resource.h", "sys/syscall.h",
        ];
        (string, string?)[] expressions = [.. s_numbers.Select(number => (number.C, number.Guard)).Distinct()];

        var values = await CProgram.EvaluateAsync(headers, expressions, TestContext.Current.CancellationToken);

        Assert.SkipWhen(values is null, "there is no C compiler (cc) here");
        Assert.All(s_numbers.Where(number => number.Guard is null), number => Assert.True(values.ContainsKey(number.C), number.C));
        Assert.All(s_numbers.Where(number => values.ContainsKey(number.C)),
            number => Assert.Equal((number.C, values[number.C]), (number.C, number.Ours)));
    }

    private static long Offset<T>(string field) => Marshal.OffsetOf<T>(field);
}

using DataPlane.Migration;
using DataPlane.Tool.Bench;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Serve;

/// <summary>
/// The session of one client: answers its requests in turn, and keeps the memory between them. See <see cref="ControlMessage"/> for the
/// order.
/// </summary>
internal sealed class ServeSession(
    ControlConnection control, ServeSettings settings, IReadOnlyList<IServeLeg> legs, TimeProvider time, Func<TimeSpan> cpuTime)
    : IAsyncDisposable
{
    /// <summary>How long a leg may take to end once it has been told to end.</summary>
    private static readonly TimeSpan s_endTimeout = TimeSpan.FromSeconds(30);

    private DestinationRam? _ram;
    private long _announcedBytes;
    private bool _isStuck;

    /// <summary>Legs that ended without an error.</summary>
    public int CompletedLegs { get; private set; }

    /// <summary>Waits for the client's hello. Nothing is held for a client that has not sent it.</summary>
    /// <exception cref="ControlException">
    /// The client is not one of ours, or has another version; it has been told where possible.
    /// </exception>
    public Task MeetAsync(CancellationToken cancellation) => TellRefusalAsync(async () =>
    {
        var first = await control.ReadAsync(settings.HelloTimeout, cancellation).ConfigureAwait(false);
        if (first is not HelloMessage hello)
        {
            throw new BadRequestException(ErrorMessage.BadRequest, "hello was expected");
        }

        if (hello.Version != HelloMessage.CurrentVersion)
        {
            var client = OneLine.Of(hello.DataplaneVersion);
            throw new BadRequestException(
                ErrorMessage.WrongVersion,
                $"control protocol {hello.Version} of dataplane {client}; "
                + $"this is {HelloMessage.CurrentVersion} of dataplane {ToolVersion.Current}");
        }

        _announcedBytes = hello.RamBytes;
    }, cancellation);

    /// <summary>Serves the client until it closes. <see cref="MeetAsync"/> must have succeeded.</summary>
    /// <exception cref="ControlException">
    /// The client broke the protocol, vanished or did nothing for too long; it has been told where possible.
    /// </exception>
    public Task RunAsync(CancellationToken cancellation) => TellRefusalAsync(async () =>
    {
        await WelcomeAsync(cancellation).ConfigureAwait(false);
        while (await control.ReadAsync(settings.SilenceFor(_announcedBytes), cancellation).ConfigureAwait(false) is { } request)
        {
            switch (request)
            {
                case PrepareMessage prepare:
                    await RunLegAsync(prepare, cancellation).ConfigureAwait(false);
                    break;
                case DigestMessage:
                    await SendDigestAsync(cancellation).ConfigureAwait(false);
                    break;
                default:
                    throw new BadRequestException(ErrorMessage.BadRequest, "prepare or digest was expected");
            }
        }
    }, cancellation);

    private async Task TellRefusalAsync(Func<Task> body, CancellationToken cancellation)
    {
        try
        {
            await body().ConfigureAwait(false);
        }
        catch (BadRequestException exception)
        {
            await control.WriteAsync(new ErrorMessage { Code = exception.Code, Message = exception.Message }, cancellation)
                .ConfigureAwait(false);
            throw new ControlException($"refused {control.Peer}: {exception.Message}", exception);
        }
    }

    private Task WelcomeAsync(CancellationToken cancellation) => control.WriteAsync(
        new WelcomeMessage
        {
            Version = HelloMessage.CurrentVersion,
            DataplaneVersion = ToolVersion.Current,
            Host = HostFacts.Current,
            MaxRamBytes = settings.MaxRamBytes,
            PostcopyObstacle = legs.FirstOrDefault(static leg => leg.Name == PostcopyLeg.LegName)?.Obstacle,
        },
        cancellation);

    private async Task RunLegAsync(PrepareMessage request, CancellationToken cancellation)
    {
        var leg = Check(request);
        _announcedBytes = request.RamBytes;
        var run = await leg.PrepareAsync(request, FreshGuest(request.RamBytes, leg), cancellation).ConfigureAwait(false);
        ResultMessage result;
        try
        {
            await control.WriteAsync(new ReadyMessage { Port = run.Port }, cancellation).ConfigureAwait(false);
            result = await AwaitLegAsync(run, cancellation).ConfigureAwait(false);
            if (result.Error is null)
            {
                CompletedLegs++;
            }
        }
        finally
        {
            await EndAsync(run).ConfigureAwait(false);
        }

        if (result.Error is not null && leg.NeedsUntouchedMemory)
        {
            DropMemory(); // pages of it may be poisoned: the kernel would stop whoever reads them
        }

        await control.WriteAsync(result, cancellation).ConfigureAwait(false);
    }

    /// <summary>
    /// Waits for the leg and, at the same time, for the client: a client that goes away, sends out of turn or does nothing ends the leg.
    /// </summary>
    private async Task<ResultMessage> AwaitLegAsync(IServeLegRun run, CancellationToken cancellation)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var watchEnd = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var cpuBefore = cpuTime();
        var leg = run.RunAsync(over.Token);
        var client = control.WaitForPeerAsync(watchEnd.Token);
        var limit = settings.SilenceFor(_announcedBytes);
        using (StallWatch.Start(time, limit, () => run.Progress, () => stalled.TrySetResult()))
        {
            await Task.WhenAny(leg, client, stalled.Task).ConfigureAwait(false);
        }

        if (!leg.IsCompleted)
        {
            await over.CancelAsync().ConfigureAwait(false);
            await WithinAsync(leg).ConfigureAwait(false);
            await watchEnd.CancelAsync().ConfigureAwait(false);
            var hasGone = await client.ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
            throw hasGone ? GoneDuringLeg()
                : new ControlException($"{control.Peer} has sent nothing for {limit.TotalSeconds:0.#} s during a leg (--idle-timeout)");
        }

        await watchEnd.CancelAsync().ConfigureAwait(false);
        var isGone = await client.ConfigureAwait(false);
        var result = await leg.ConfigureAwait(false);
        return isGone ? throw GoneDuringLeg() : result with { CpuSeconds = (cpuTime() - cpuBefore).TotalSeconds };
    }

    private async Task EndAsync(IServeLegRun run)
    {
        if (!_isStuck)
        {
            await WithinAsync(Task.Run(() => run.DisposeAsync().AsTask())).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Waits for a task that has been told to end. One that does not end keeps its memory, into which it may still write.
    /// </summary>
    private async Task WithinAsync(Task ending)
    {
        try
        {
            await ending.WaitAsync(s_endTimeout, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            _isStuck |= !ending.IsCompleted;
        }
    }

    private ControlException GoneDuringLeg() => new($"{control.Peer} closed the session, or spoke out of turn, during a leg");

    private IServeLeg Check(PrepareMessage request)
    {
        if (legs.FirstOrDefault(leg => leg.Name == request.Leg) is not { } found)
        {
            throw new BadRequestException(ErrorMessage.BadRequest, $"no leg is called '{OneLine.Of(request.Leg)}' here");
        }

        if (request.RamBytes < TargetPage.Size || request.RamBytes % TargetPage.Size != 0)
        {
            throw new BadRequestException(
                ErrorMessage.BadRequest, $"{request.RamBytes} bytes of memory are not a positive multiple of {TargetPage.Size}");
        }

        if (request.RamBytes > settings.MaxRamBytes)
        {
            throw new BadRequestException(
                ErrorMessage.BadRequest, $"{request.RamBytes} bytes of memory are over the limit of {settings.MaxRamBytes} (--max-ram)");
        }

        if (request.Channels is < 0 or > SharedOptions.MaxChannels)
        {
            throw new BadRequestException(
                ErrorMessage.BadRequest, $"{request.Channels} channels; 0 to {SharedOptions.MaxChannels} are allowed");
        }

        if (found.Obstacle is { } obstacle)
        {
            throw new BadRequestException(ErrorMessage.BadRequest, $"{found.Name} is not possible here: {obstacle}");
        }

        if (found.NeedsUntouchedMemory && !IsSound(request.Postcopy, request.RamBytes))
        {
            throw new BadRequestException(ErrorMessage.BadRequest, "prepare does not say what a guest can do here");
        }

        return found;
    }

    private static bool IsSound(PostcopyRequest? guest, long ramBytes) => guest is
    {
        ZeroPercent: >= 0 and <= 100,
        TouchBytesPerSecond: > 0,
        Threads: > 0 and <= PostcopyRequest.MaxThreads,
        WindowBytes: >= TargetPage.Size,
    } && guest.WindowBytes <= ramBytes;

    private void DropMemory()
    {
        if (!_isStuck)
        {
            _ram?.Dispose();
        }

        _ram = null;
    }

    private GuestMemory FreshGuest(long bytes, IServeLeg leg)
    {
        if (_ram?.Bytes != bytes || !_ram.IsReusable || leg.NeedsUntouchedMemory)
        {
            DropMemory();
            try
            {
                _ram = new DestinationRam(bytes, populate: !leg.NeedsUntouchedMemory);
            }
            catch (IOException exception)
            {
                throw new BadRequestException(ErrorMessage.BadRequest, exception.Message);
            }
        }

        return _ram.FreshGuest();
    }

    private async Task SendDigestAsync(CancellationToken cancellation)
    {
        if (_ram is not { } ram)
        {
            throw new BadRequestException(ErrorMessage.BadRequest, "digest before any leg");
        }

        var value = MemoryDigest.Compute(ram.Block);
        await control.WriteAsync(new DigestResultMessage { Algorithm = MemoryDigest.Name, Value = value }, cancellation)
            .ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        DropMemory();
        await control.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>A request that cannot be served. The client is told, and then the session ends.</summary>
    private sealed class BadRequestException(string code, string message) : Exception(message)
    {
        public string Code { get; } = code;
    }
}

using DataPlane.Memory;
using DataPlane.Tool.Bench;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Serve;

/// <summary>
/// One client's session: answers its requests in turn, keeps the memory between them. See <see cref="ControlMessage"/> for the order.
/// </summary>
internal sealed class ServeSession(
    ControlConnection control, ServeSettings settings, IReadOnlyList<IServeLeg> legs, Func<TimeSpan> cpuTime) : IAsyncDisposable
{
    private DestinationRam? _ram;

    /// <summary>Legs that ended without an error.</summary>
    public int CompletedLegs { get; private set; }

    /// <summary>Runs until the client closes.</summary>
    /// <exception cref="ControlException">The client broke the protocol or vanished; it has been told where possible.</exception>
    public async Task RunAsync(CancellationToken cancellation)
    {
        try
        {
            await WelcomeAsync(cancellation).ConfigureAwait(false);
            while (await control.ReadAsync(settings.IdleTimeout, cancellation).ConfigureAwait(false) is { } request)
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
        }
        catch (BadRequestException exception)
        {
            await control.WriteAsync(new ErrorMessage { Code = exception.Code, Message = exception.Message }, cancellation)
                .ConfigureAwait(false);
            throw new ControlException($"refused {control.Peer}: {exception.Message}", exception);
        }
    }

    private async Task WelcomeAsync(CancellationToken cancellation)
    {
        ControlMessage? first = await control.ReadAsync(settings.HelloTimeout, cancellation).ConfigureAwait(false);
        if (first is not HelloMessage hello)
            throw new BadRequestException(ErrorMessage.BadRequest, "hello was expected");
        if (hello.Version != HelloMessage.CurrentVersion)
        {
            string client = OneLine.Of(hello.DataplaneVersion);
            throw new BadRequestException(
                ErrorMessage.WrongVersion,
                $"control protocol {hello.Version} of dataplane {client}; "
                + $"this is {HelloMessage.CurrentVersion} of dataplane {ToolVersion.Current}");
        }

        await control.WriteAsync(
            new WelcomeMessage
            {
                Version = HelloMessage.CurrentVersion,
                DataplaneVersion = ToolVersion.Current,
                Host = HostFacts.Current,
                MaxRamBytes = settings.MaxRamBytes,
            },
            cancellation).ConfigureAwait(false);
    }

    private async Task RunLegAsync(PrepareMessage request, CancellationToken cancellation)
    {
        IServeLeg leg = Check(request);
        IServeLegRun run = await leg.PrepareAsync(request, FreshGuest(request.RamBytes, leg), cancellation).ConfigureAwait(false);
        ResultMessage result;
        await using (run.ConfigureAwait(false))
        {
            await control.WriteAsync(new ReadyMessage { Port = run.Port }, cancellation).ConfigureAwait(false);
            result = await AwaitLegAsync(run, cancellation).ConfigureAwait(false);
            if (result.Error is null)
                CompletedLegs++;
        }

        if (result.Error is not null && leg.NeedsUntouchedMemory)
            DropMemory(); // pages of it may be poisoned: whoever read them would be stopped by the kernel
        await control.WriteAsync(result, cancellation).ConfigureAwait(false);
    }

    /// <summary>Waits for the leg and, beside it, for the client: a client that goes away or speaks out of turn ends the leg.</summary>
    private async Task<ResultMessage> AwaitLegAsync(IServeLegRun run, CancellationToken cancellation)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        TimeSpan cpuBefore = cpuTime();
        Task<ResultMessage> leg = run.RunAsync(over.Token);
        using var watchEnd = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task<bool> client = control.WaitForPeerAsync(watchEnd.Token);
        if (await Task.WhenAny(leg, client).ConfigureAwait(false) == client && await client.ConfigureAwait(false))
        {
            await over.CancelAsync().ConfigureAwait(false);
            await ((Task)leg).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellation.ThrowIfCancellationRequested();
            throw GoneDuringLeg();
        }

        ResultMessage result = await leg.ConfigureAwait(false);
        result = result with { CpuSeconds = (cpuTime() - cpuBefore).TotalSeconds };
        await watchEnd.CancelAsync().ConfigureAwait(false);
        return await client.ConfigureAwait(false) ? throw GoneDuringLeg() : result;
    }

    private ControlException GoneDuringLeg() => new($"{control.Peer} closed the session, or spoke out of turn, during a leg");

    private IServeLeg Check(PrepareMessage request)
    {
        if (legs.FirstOrDefault(leg => leg.Name == request.Leg) is not { } found)
            throw new BadRequestException(ErrorMessage.BadRequest, $"no leg is called '{OneLine.Of(request.Leg)}' here");
        if (request.RamBytes < TargetPage.Size || request.RamBytes % TargetPage.Size != 0)
            throw new BadRequestException(
                ErrorMessage.BadRequest, $"{request.RamBytes} bytes of memory are not a positive multiple of {TargetPage.Size}");
        if (request.RamBytes > settings.MaxRamBytes)
            throw new BadRequestException(
                ErrorMessage.BadRequest, $"{request.RamBytes} bytes of memory are over the limit of {settings.MaxRamBytes} (--max-ram)");
        if (request.Channels is < 0 or > SharedOptions.MaxChannels)
            throw new BadRequestException(
                ErrorMessage.BadRequest, $"{request.Channels} channels; 0 to {SharedOptions.MaxChannels} are allowed");
        if (found.NeedsUntouchedMemory && !IsSound(request.Postcopy, request.RamBytes))
            throw new BadRequestException(ErrorMessage.BadRequest, "prepare does not say what a guest can do here");
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
        _ram?.Dispose();
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
            throw new BadRequestException(ErrorMessage.BadRequest, "digest before any leg");
        string value = MemoryDigest.Compute(ram.Block);
        await control.WriteAsync(new DigestResultMessage { Algorithm = MemoryDigest.Name, Value = value }, cancellation)
            .ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        _ram?.Dispose();
        await control.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>The client asked for what it cannot have; it is told, then the session ends.</summary>
    private sealed class BadRequestException(string code, string message) : Exception(message)
    {
        public string Code { get; } = code;
    }
}

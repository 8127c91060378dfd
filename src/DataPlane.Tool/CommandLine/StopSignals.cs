using System.Runtime.InteropServices;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Turns Ctrl-C, SIGTERM and SIGHUP (unless <see cref="HangUps"/> are survived) into a cancelled token. The first signal asks for a clean
/// stop; a second one is left to the system, which ends the process at once: a user who presses twice means it.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly PosixSignalRegistration _interrupt;
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration? _hangUp;

    public StopSignals()
    {
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        _hangUp = HangUps.AreIgnoredBySystem ? null : PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnHangUp);
    }

    public CancellationToken Token => _stop.Token;

    private void OnSignal(PosixSignalContext context)
    {
        if (_stop.IsCancellationRequested)
        {
            return;
        }

        context.Cancel = true;
        _stop.Cancel();
    }

    private void OnHangUp(PosixSignalContext context)
    {
        if (HangUps.AreSurvived)
        {
            context.Cancel = true;
        }
        else
        {
            OnSignal(context);
        }
    }

    public void Dispose()
    {
        _hangUp?.Dispose();
        _interrupt.Dispose();
        _terminate.Dispose();
        _stop.Dispose();
    }
}

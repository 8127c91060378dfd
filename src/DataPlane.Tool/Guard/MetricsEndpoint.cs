using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using DataPlane.Tool.CommandLine;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace DataPlane.Tool.Guard;

/// <summary>Serves the metrics as Prometheus text at <c>http://ADDR/metrics</c>.</summary>
internal static class MetricsEndpoint
{
    /// <summary>What is wrong with an address, before anything is started; null when nothing is.</summary>
    public static string? FindFault(ChannelAddress address) =>
        address.IsUnix || address.Port == 0 ? "--metrics: a TCP address with a port is needed, as 127.0.0.1:9464" : null;

    /// <exception cref="CommandException">The address cannot be listened on.</exception>
    // Open is kept out of line, so that the libraries behind it are loaded only when metrics are wanted.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static IDisposable Open(ChannelAddress address)
    {
        try
        {
            return Sdk.CreateMeterProviderBuilder()
                .AddMeter(GuardMetrics.MeterName)
                .AddPrometheusHttpListener(options =>
                {
                    options.Host = IsEverywhere(address.Host) ? "*"
                        : address.Host.Contains(':', StringComparison.Ordinal) ? $"[{address.Host}]"
                        : address.Host;
                    options.Port = address.Port;
                    options.ScopeInfoEnabled = false;
                    options.TargetInfoEnabled = false;
                })
                .Build();
        }
        // The exporter wraps the exceptions of the listener.
        catch (Exception exception) when (exception.GetBaseException() is HttpListenerException or SocketException)
        {
            throw new CommandException($"--metrics {address}: {exception.GetBaseException().Message}", innerException: exception);
        }
    }

    private static bool IsEverywhere(string host) =>
        host.Length == 0 || (IPAddress.TryParse(host, out var address)
            && (address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any)));
}

using System.Net;
using System.Net.Sockets;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Guard;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

public sealed class GuardMetricsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static ChannelAddress FreeAddress()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ChannelAddress.Parse($"127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");
    }

    [Fact]
    public async Task Prometheus_sees_states_channels_bytes_and_refusals_of_each_VM()
    {
        VmStatus[] vms =
        [
            new VmStatus
            {
                Name = "web1",
                Listen = ":1",
                State = "relaying",
                Channels =
                [
                    new ChannelStatus { Kind = "main", Id = 0, State = "open", InBytes = 10, OutBytes = 1, BytesPerSecond = 0 },
                    new ChannelStatus { Kind = "multifd", Id = 0, State = "open", InBytes = 100, OutBytes = 2, BytesPerSecond = 0 },
                    new ChannelStatus { Kind = "multifd", Id = 1, State = "open", InBytes = 200, OutBytes = 3, BytesPerSecond = 0 },
                ],
                Undecided = 4,
                Candidates = 2,
                Refused = new Dictionary<string, long> { ["silent"] = 9 },
                Completed = 5,
                Failed = 1,
            },
            new VmStatus { Name = "web2", Listen = ":2", State = "waiting" },
        ];
        using var metrics = new GuardMetrics(() => vms);
        var address = FreeAddress();
        using var endpoint = MetricsEndpoint.Open(address);
        using var client = new HttpClient();
        var lines = (await client.GetStringAsync(new Uri($"http://{address}/metrics"), Token)).Split('\n');
        Assert.Superset(
            new HashSet<string>
            {
                "dataplane_guard_state{state=\"relaying\",vm=\"web1\"} 1",
                "dataplane_guard_state{state=\"waiting\",vm=\"web2\"} 1",
                "dataplane_guard_channels{kind=\"multifd\",state=\"open\",vm=\"web1\"} 2",
                "dataplane_guard_relayed_bytes_total{direction=\"in\",kind=\"multifd\",vm=\"web1\"} 300",
                "dataplane_guard_relayed_bytes_total{direction=\"out\",kind=\"main\",vm=\"web1\"} 1",
                "dataplane_guard_undecided{vm=\"web1\"} 4",
                "dataplane_guard_candidates{vm=\"web1\"} 2",
                "dataplane_guard_refused_total{reason=\"silent\",vm=\"web1\"} 9",
                "dataplane_guard_migrations_total{result=\"completed\",vm=\"web1\"} 5",
                "dataplane_guard_migrations_total{result=\"failed\",vm=\"web1\"} 1",
            },
            lines.ToHashSet());
    }

    /// <summary>A label with a new line would be another line of the page, with whatever value its author likes.</summary>
    [Fact]
    public async Task A_name_forges_no_line_of_the_page()
    {
        const string Name = "a\ndataplane_guard_undecided{vm=\"b\"} 7\n\e]0;x\a";
        using var metrics = new GuardMetrics(static () =>
        [
            new VmStatus
            {
                Name = Name,
                Listen = ":1",
                State = Name,
                Channels = [new ChannelStatus { Kind = Name, Id = 0, State = Name, InBytes = 1, OutBytes = 1, BytesPerSecond = 0 }],
                Refused = new Dictionary<string, long> { [Name] = 1 },
            },
        ]);
        var address = FreeAddress();
        using var endpoint = MetricsEndpoint.Open(address);
        using var client = new HttpClient();
        var page = await client.GetStringAsync(new Uri($"http://{address}/metrics"), Token);

        Assert.DoesNotContain('\e', page);
        Assert.DoesNotContain("dataplane_guard_undecided{vm=\"b\"}", page.Split('\n').Select(static line => line.Split(' ')[0]));
        Assert.Contains("dataplane_guard_refused", page, StringComparison.Ordinal);
    }

    [Fact]
    public void An_address_that_is_taken_is_one_line()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var taken = ChannelAddress.Parse($"127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");
        Assert.StartsWith(
            $"--metrics {taken}: ", Assert.Throws<CommandException>(() => MetricsEndpoint.Open(taken)).Message, StringComparison.Ordinal);
    }
}

using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using System.Text.Json.Nodes;

namespace DataPlane.Tool.CommandLine;

/// <summary>The options about networks.</summary>
internal static class NetworkOptions
{
    /// <summary>
    /// Makes the option that says which networks may connect. Each call makes a new option, which belongs to one command.
    /// </summary>
    public static ToolOption<IPNetwork[]> Allow() =>
        new("--allow", "", networks => networks.Length == 0 ? null
            : new JsonArray([.. networks.Select(network => JsonValue.Create(network.ToString()))]))
        {
            Description = "network that may connect, as 10.0.0.0/8 or one address; repeat it for several (default: everybody)",
            HelpName = "CIDR",
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = false,
            DefaultValueFactory = _ => [],
            CustomParser = ParseNetworks,
        };

    private static IPNetwork[] ParseNetworks(ArgumentResult result)
    {
        var networks = new IPNetwork[result.Tokens.Count];
        for (var i = 0; i < networks.Length; i++)
        {
            var text = result.Tokens[i].Value;
            if (IPAddress.TryParse(text, out var address))
            {
                networks[i] = new IPNetwork(address, address.GetAddressBytes().Length * 8);
            }
            else if (!IPNetwork.TryParse(text, out networks[i]))
            {
                result.AddError($"--allow: '{text}' is not a network as 10.0.0.0/8 or an address");
            }
        }

        return networks;
    }
}

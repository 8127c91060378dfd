using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.Wire;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Makes options of the command line's value types: parsing, the one-line complaint, help text and JSON form in one place.
/// </summary>
internal static class Options
{
    private delegate bool Parser<T>(string text, out T value, out string? error);

    /// <summary>The longest time of any option, which is what the library takes.</summary>
    private static readonly Duration s_longestTime = new(TimeSpan.FromDays(49));

    public static ToolOption<ByteSize?> Size(string name, string description, ByteSize? whenMissing = null) =>
        Make(name, "SIZE", description, "_bytes", whenMissing, size => size.Bytes, (string text, out ByteSize value, out string? error) =>
            ByteSize.TryParse(text, out value, out error));

    public static ToolOption<ByteRate?> Rate(string name, string description, ByteRate? whenMissing = null) =>
        Make(name, "RATE", description, "_bytes_per_second", whenMissing, rate => rate.BytesPerSecond,
            (string text, out ByteRate value, out string? error) => ByteRate.TryParse(text, out value, out error));

    public static ToolOption<Duration?> Time(
        string name, string description, Duration? whenMissing = null, Duration? longest = null) =>
        Make(name, "TIME", description, "_seconds", whenMissing, time => time.Value.TotalSeconds,
            (string text, out Duration value, out string? error) => TryParse(text, longest ?? s_longestTime, out value, out error));

    /// <summary>
    /// Makes an option for a time that needs a unit: QEMU and virsh count this time in milliseconds, so a bare number is refused.
    /// </summary>
    public static ToolOption<Duration?> TimeWithUnit(string name, string description, Duration? whenMissing = null) =>
        Make(name, "TIME", description, "_seconds", whenMissing, time => time.Value.TotalSeconds,
            (string text, out Duration value, out string? error) =>
            {
                if (!TryParse(text, s_longestTime, out value, out error))
                {
                    return false;
                }

                if (!char.IsAsciiDigit(text[^1]))
                {
                    return true;
                }

                error = $"'{text}' has no unit: write {text}ms (milliseconds, as QEMU and virsh count it) or {text}s";
                return false;
            });

    private static bool TryParse(string text, Duration longest, out Duration value, out string? error)
    {
        if (Duration.TryParse(text, out value, out error) && value.Value > longest.Value)
        {
            error = $"'{text}' is too long: at most {longest.Value.TotalHours:0}h";
        }

        return error is null;
    }

    /// <summary>Makes an option for a whole number from <paramref name="min"/> to <paramref name="max"/>, both included.</summary>
    public static ToolOption<int?> Number(string name, string description, int min, int max, int? whenMissing = null) =>
        Make(name, "N", description, "", whenMissing, number => number, (string text, out int value, out string? error) =>
        {
            var fits = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= min && value <= max;
            error = fits ? null : $"'{text}' is not a number from {min} to {max}";
            return fits;
        });

    /// <summary>Makes an option for one of the values of an enumeration, by its name in lower case.</summary>
    public static ToolOption<Choice<T>?> Choice<T>(string name, string description, T? whenMissing = null)
        where T : struct, Enum =>
        Make(name, CommandLine.Choice<T>.Names, description, "",
            whenMissing is { } value ? new Choice<T>(value) : null, choice => choice.ToString(),
            (string text, out Choice<T> value, out string? error) => CommandLine.Choice<T>.TryParse(text, out value, out error));

    /// <summary>Makes an option for an address. With <paramref name="defaultPort"/> a host alone is enough.</summary>
    public static ToolOption<ChannelAddress?> Address(
        string name, string helpName, string description, int? defaultPort = null, bool required = false) =>
        new(name, "", address => address?.ToString())
        {
            Description = description,
            HelpName = helpName,
            Required = required,
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result =>
            {
                if (ChannelAddress.TryParse(result.Tokens[0].Value, defaultPort, out var address, out var error))
                {
                    return address;
                }

                result.AddError($"{name}: {error}");
                return null;
            },
        };

    /// <summary>Makes an argument for an address.</summary>
    public static Argument<ChannelAddress?> AddressArgument(string name, string description) =>
        new(name)
        {
            Description = description,
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result =>
            {
                if (result.Tokens.Count == 0)
                {
                    return null;
                }

                if (ChannelAddress.TryParse(result.Tokens[0].Value, null, out var address, out var error))
                {
                    return address;
                }

                result.AddError($"{name}: {error}");
                return null;
            },
        };

    public static ToolOption<string?> Text(string name, string helpName, string description, bool required = false)
    {
        var option = new ToolOption<string?>(name, "", text => text)
        {
            Description = description,
            HelpName = helpName,
            Required = required,
        };
        option.Validators.Add(result => RefuseEmpty(result, name));
        return option;
    }

    /// <summary>Refuses an empty value: most likely it comes from an unset variable of a script.</summary>
    public static void RefuseEmpty(SymbolResult result, string name)
    {
        foreach (var token in result.Tokens)
        {
            if (string.IsNullOrWhiteSpace(token.Value))
            {
                result.AddError($"{name}: '{token.Value}' is empty");
            }
        }
    }

    public static ToolOption<string[]> Texts(string name, string helpName, string description) =>
        new(name, "", texts => texts.Length == 0 ? null : new JsonArray([.. texts.Select(text => JsonValue.Create(text))]))
        {
            Description = description,
            HelpName = helpName,
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = false,
            DefaultValueFactory = _ => [],
        };

    /// <summary>Makes an option for a QEMU version X.Y that is supported.</summary>
    public static ToolOption<Version?> PeerVersion(string name, string description) =>
        new(name, "", version => version?.ToString())
        {
            Description = description,
            HelpName = "X.Y",
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result =>
            {
                var text = result.Tokens[0].Value;
                if (Version.TryParse(text, out var version) && version.Build < 0
                    && version >= QemuCompatibility.Oldest && version <= QemuCompatibility.Newest)
                {
                    return version;
                }

                result.AddError(
                    $"{name}: '{text}' is not a QEMU version from {QemuCompatibility.Oldest} to {QemuCompatibility.Newest}");
                return null;
            },
        };

    public static ToolOption<Guid?> Uuid(string name, string description) =>
        Make(name, "UUID", description, "", null, uuid => uuid.ToString(), (string text, out Guid value, out string? error) =>
        {
            var fits = Guid.TryParseExact(text, "D", out value);
            error = fits ? null : $"'{text}' is not a UUID";
            return fits;
        });

    public static ToolOption<bool> Flag(string name, string description) =>
        new(name, "", value => value) { Description = description };

    private static ToolOption<T?> Make<T>(
        string name, string helpName, string description, string keySuffix, T? whenMissing, Func<T, JsonNode?> toJson, Parser<T> parse)
        where T : struct
    {
        var option = new ToolOption<T?>(name, keySuffix, value => value is { } given ? toJson(given) : null)
        {
            Description = description,
            HelpName = helpName,
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result => ParseOne(result, name, parse),
        };
        if (whenMissing is { } value)
        {
            option.DefaultValueFactory = _ => value;
        }

        return option;
    }

    private static T? ParseOne<T>(ArgumentResult result, string name, Parser<T> parse)
        where T : struct
    {
        if (parse(result.Tokens[0].Value, out var value, out var error))
        {
            return value;
        }

        result.AddError($"{name}: {error}");
        return null;
    }
}

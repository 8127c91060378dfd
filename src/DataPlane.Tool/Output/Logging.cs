using System.Runtime.CompilerServices;
using DataPlane.Tool.CommandLine;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace DataPlane.Tool.Output;

/// <summary>Logs of the library, on stderr and only when asked for: --verbose for people, --log-json for collectors.</summary>
internal static class Logging
{
    public static ILoggerFactory Create(OutputSettings output) =>
        output.Verbose || output.LogJson ? CreateConsole(output) : NullLoggerFactory.Instance;

    // CreateConsole is kept out of line, so that the logging libraries are loaded only when logs are wanted.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ILoggerFactory CreateConsole(OutputSettings output)
    {
        // The logger keeps the stderr that it finds when it is made. Its lines contain texts of peers, so they have to be escaped.
        Console.SetError(new EscapingWriter(Console.Error));
        return LoggerFactory.Create(builder => Configure(builder, output));
    }

    private static void Configure(ILoggingBuilder builder, OutputSettings output)
    {
        builder.SetMinimumLevel(output.Verbose ? LogLevel.Debug : LogLevel.Information);
        builder.AddConsole(console =>
        {
            console.LogToStandardErrorThreshold = LogLevel.Trace;
            // A thread that logs must not wait: a reader of stderr that stops would stop admission and migrations. Lost lines are counted.
            console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite;
        });
        if (output.LogJson)
        {
            builder.AddJsonConsole(json => json.UseUtcTimestamp = true);
        }
        else
        {
            builder.AddSimpleConsole(simple =>
            {
                simple.SingleLine = true;
                simple.ColorBehavior = LoggerColorBehavior.Disabled; // colours are escape sequences, too
            });
        }
    }
}

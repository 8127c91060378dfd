using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace DataPlane.Tool.Output;

/// <summary>
/// Lets nobody wait for a reader of stderr: the writes go into a bounded queue, which a thread of its own empties. What finds the queue
/// full is left out, and the number of losses is written as soon as somebody reads again. Thread-safe.
/// </summary>
internal sealed class UnblockedWriter(TextWriter target) : TextWriter(CultureInfo.InvariantCulture)
{
    private const int MaxPieces = 1024;

    // A pipe that nobody reads must not keep the process from ending.
    private static readonly TimeSpan s_flushTimeout = TimeSpan.FromSeconds(2);

    private readonly BlockingCollection<string> _pieces = new(MaxPieces);
    private readonly Lock _gate = new();
    private Thread? _thread;
    private long _leftOut;
    private bool _isOver;

    public override Encoding Encoding => target.Encoding;

    public override void Write(char value) => Write(value.ToString());

    public override void Write(char[] buffer, int index, int count) => Write(new string(buffer, index, count));

    public override void Write(string? value)
    {
        if (string.IsNullOrEmpty(value))
        {
            return;
        }

        lock (_gate)
        {
            if (_isOver)
            {
                return;
            }

            _thread ??= Start();
            if (!_pieces.TryAdd(value))
            {
                _leftOut++;
            }
        }
    }

    public override void WriteLine(string? value) => Write(value + Environment.NewLine);

    /// <summary>Does nothing: the thread flushes each piece when it has written it.</summary>
    public override void Flush()
    {
    }

    protected override void Dispose(bool disposing)
    {
        Thread? thread;
        lock (_gate)
        {
            if (_isOver)
            {
                return;
            }

            _isOver = true;
            thread = _thread;
        }

        _pieces.CompleteAdding();
        if (thread is null || thread.Join(s_flushTimeout))
        {
            _pieces.Dispose();
        }

        base.Dispose(disposing);
    }

    private Thread Start()
    {
        var thread = new Thread(Run) { Name = "dp-stderr", IsBackground = true };
        thread.Start();
        return thread;
    }

    private void Run()
    {
        try
        {
            foreach (var piece in _pieces.GetConsumingEnumerable())
            {
                target.Write(piece);
                target.Flush();
                long leftOut;
                lock (_gate)
                {
                    (leftOut, _leftOut) = (_leftOut, 0);
                }

                if (leftOut > 0)
                {
                    target.WriteLine(string.Create(CultureInfo.InvariantCulture, $"({leftOut} lines were left out: nobody read them)"));
                }
            }
        }
        catch (IOException)
        {
            // The reader is gone for good; whatever is written from now on is left out.
        }
    }
}

namespace DataPlane.Admission;

/// <summary>
/// Orders undecided connections by deadline: a binary heap in which each connection knows its index, so that it can leave, or get another
/// deadline, without a search. Used by the admission thread only.
/// </summary>
internal sealed class DeadlineHeap
{
    private readonly List<UndecidedConnection> _items = [];

    /// <summary>The connection with the earliest deadline; <see langword="null"/> if there is none.</summary>
    public UndecidedConnection? First => _items.Count == 0 ? null : _items[0];

    public void Add(UndecidedConnection connection)
    {
        connection.HeapIndex = _items.Count;
        _items.Add(connection);
        Up(connection.HeapIndex);
    }

    public void Remove(UndecidedConnection connection)
    {
        var at = connection.HeapIndex;
        var last = _items[^1];
        _items.RemoveAt(_items.Count - 1);
        if (ReferenceEquals(last, connection))
        {
            return;
        }

        Place(last, at);
        Move(at);
    }

    public void Change(UndecidedConnection connection, long deadline)
    {
        connection.Deadline = deadline;
        Move(connection.HeapIndex);
    }

    private void Move(int at)
    {
        Up(at);
        Down(at);
    }

    private void Up(int at)
    {
        var moving = _items[at];
        while (at > 0 && _items[(at - 1) / 2] is var parent && parent.Deadline > moving.Deadline)
        {
            Place(parent, at);
            at = (at - 1) / 2;
        }

        Place(moving, at);
    }

    private void Down(int at)
    {
        var moving = _items[at];
        while ((2 * at) + 1 < _items.Count)
        {
            var child = (2 * at) + 1;
            if (child + 1 < _items.Count && _items[child + 1].Deadline < _items[child].Deadline)
            {
                child++;
            }

            if (_items[child].Deadline >= moving.Deadline)
            {
                break;
            }

            Place(_items[child], at);
            at = child;
        }

        Place(moving, at);
    }

    private void Place(UndecidedConnection connection, int at)
    {
        _items[at] = connection;
        connection.HeapIndex = at;
    }
}

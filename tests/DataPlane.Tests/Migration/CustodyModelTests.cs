using CsCheck;
using DataPlane.Migration.Custody;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>
/// Both sides of one migration with whatever may happen between them, in any order: the guest never has two owners, and never none without
/// somebody saying that it is unknown.
/// </summary>
public sealed class CustodyModelTests : IDisposable
{
    private const int Steps = 24;

    private readonly TestGuest _guest = TestGuest.Patterned(4096 * 16);

    [Theory]
    [InlineData(Way.Precopy)]
    [InlineData(Way.Live)]
    [InlineData(Way.Captured)]
    internal void Whatever_happens_the_guest_has_one_owner(Way way) =>
        Gen.Enum<Step>().Array[0, Steps].Sample(
            steps =>
            {
                using var model = new Model(_guest, way);
                foreach (var step in steps)
                {
                    model.Take(step);
                    model.Check();
                }

                model.Settle();
                model.Check();
            },
            iter: 20_000);

    public void Dispose() => _guest.Dispose();

    internal enum Way
    {
        Precopy,

        /// <summary>Postcopy of a guest that runs at the destination before its memory is there.</summary>
        Live,

        /// <summary>Postcopy into a host that runs nothing before it has everything.</summary>
        Captured,
    }

    private enum Step
    {
        SourceCancels,
        DestinationCancels,
        SourceGoesOn,
        DestinationHears,
        DestinationHearsAndFails,
        SourceHears,
        LinkBreaks,
        SourceNotices,
        DestinationNotices,
        SourceComesAgain,
    }

    private enum Message
    {
        LastByte,
        Package,
        EndOfStream,
        Pong,
        ShutWithSuccess,
        ShutWithFailure,
    }

    private sealed class Model(TestGuest guest, Way way) : IDisposable
    {
        private readonly TestIncomingGuest _host = new();
        private readonly Queue<Message> _forward = new();
        private readonly Queue<Message> _backward = new();
        private SourceCustody? _source;
        private DestinationCustody? _destination;
        private bool _broken;
        private bool _sourceKnows;
        private bool _destinationKnows;
        private bool _sourceIsOver;
        private bool _destinationIsOver;
        private bool _ended;
        private bool _isFetching;

        private SourceCustody Source => _source ??= new SourceCustody(guest, TimeProvider.System);

        private DestinationCustody Destination => _destination ??= new DestinationCustody(_host);

        public void Dispose() => _host.Dispose();

        public void Check()
        {
            Assert.False(Source.Owner == GuestOwner.Source && _host.Started, "the guest may run on both sides");
            Assert.False(
                Source.Owner == GuestOwner.Destination && Destination.Owner == GuestOwner.Source, "each side points at the other");
        }

        /// <summary>The link is gone, and both find out.</summary>
        public void Settle()
        {
            Take(Step.LinkBreaks);
            Take(Step.SourceNotices);
            Take(Step.DestinationNotices);
            Assert.True(
                Source.Owner != GuestOwner.Destination || _host.Started || Destination.Owner == GuestOwner.Unknown,
                "the source has given the guest up to a destination without it, and nobody says so");
        }

        public void Take(Step step)
        {
            switch (step)
            {
                case Step.SourceCancels:
                    _sourceIsOver |= Source.On(SourceEvent.CalledOff) == SourceVerdict.RunHere;
                    break;
                case Step.DestinationCancels:
                    _destinationIsOver |= Destination.On(DestinationEvent.Cancelled) == DestinationVerdict.LetGo;
                    break;
                case Step.SourceGoesOn when !_sourceIsOver && !_sourceKnows:
                    GoOn();
                    break;
                case Step.DestinationHears or Step.DestinationHearsAndFails
                    when !_destinationIsOver && _forward.TryDequeue(out var message):
                    Hear(message, fails: step == Step.DestinationHearsAndFails);
                    break;
                case Step.SourceHears when !_sourceIsOver && _backward.TryDequeue(out var answer):
                    Hear(answer);
                    break;
                case Step.LinkBreaks:
                    _broken = true; // what is on its way may arrive, or not
                    break;
                case Step.SourceNotices when _broken && !_sourceKnows:
                    _sourceKnows = true;
                    _backward.Clear();
                    _sourceIsOver |= Source.On(SourceEvent.Failed) != SourceVerdict.Pause;
                    break;
                case Step.DestinationNotices when _broken && !_destinationKnows:
                    _destinationKnows = true;
                    _forward.Clear();
                    if (Destination.IsOurs || _isFetching)
                    {
                        Destination.On(DestinationEvent.LostBeforeProof);
                    }
                    else
                    {
                        _destinationIsOver |= Destination.On(DestinationEvent.Failed) == DestinationVerdict.LetGo;
                    }

                    break;
                // A file that is complete has ended its destination: nobody is there any more.
                case Step.SourceComesAgain when _sourceKnows && _destinationKnows && !_sourceIsOver && !_destinationIsOver
                    && way != Way.Precopy && !(way == Way.Captured && Destination.IsOurs):
                    (_broken, _sourceKnows, _destinationKnows, _ended) = (false, false, false, false);
                    _forward.Clear(); // what one side said after the other had noticed went with the old link
                    _backward.Clear();
                    Destination.On(DestinationEvent.SourceCameAgain);
                    Source.On(SourceEvent.BitmapReceived);
                    break;
            }
        }

        private void GoOn()
        {
            if (!Source.IsLeaving)
            {
                Source.On(way == Way.Precopy ? SourceEvent.LastByteBegins : SourceEvent.PackageBegins);
                if (way == Way.Precopy)
                {
                    Source.On(SourceEvent.LastByteSent);
                }

                _forward.Enqueue(way == Way.Precopy ? Message.LastByte : Message.Package);
            }
            else if (way != Way.Precopy && !_ended)
            {
                _ended = true;
                Source.On(SourceEvent.EverythingSent);
                _forward.Enqueue(Message.EndOfStream);
            }
        }

        private void Hear(Message message, bool fails)
        {
            switch (message)
            {
                case Message.LastByte when Destination.On(DestinationEvent.CommitBegins) == DestinationVerdict.GoOn:
                    Decide(fails, Message.ShutWithSuccess, Message.ShutWithFailure);
                    break;
                case Message.Package when fails:
                    _destinationIsOver = Destination.On(DestinationEvent.Failed) == DestinationVerdict.LetGo;
                    break;
                case Message.Package when way == Way.Captured:
                    _isFetching = true;
                    Destination.On(DestinationEvent.FetchPromised);
                    _backward.Enqueue(Message.Pong);
                    break;
                case Message.EndOfStream when way == Way.Captured:
                    if (Destination.On(DestinationEvent.CommitBegins) == DestinationVerdict.GoOn)
                    {
                        Decide(fails, Message.ShutWithSuccess, Message.ShutWithFailure);
                    }

                    break;
                case Message.Package when Destination.On(DestinationEvent.TellingBegins) == DestinationVerdict.GoOn:
                    Decide(fails: false, Message.Pong, Message.ShutWithFailure);
                    break;
                case Message.EndOfStream when Destination.IsOurs:
                    _backward.Enqueue(Message.ShutWithSuccess);
                    break;
            }
        }

        private void Decide(bool fails, Message success, Message failure)
        {
            if (fails)
            {
                _destinationIsOver = Destination.On(DestinationEvent.Failed) == DestinationVerdict.LetGo;
                _backward.Enqueue(failure);
            }
            else if (_destinationKnows)
            {
                _destinationIsOver = Destination.On(DestinationEvent.SourceGone) == DestinationVerdict.LetGo;
            }
            else
            {
                Destination.On(DestinationEvent.SourceTold);
                _backward.Enqueue(success);
                Assert.True(Destination.StartAsync().IsCompletedSuccessfully);
            }
        }

        private void Hear(Message answer)
        {
            var verdict = answer switch
            {
                Message.Pong => Source.On(SourceEvent.DevicesLoaded),
                Message.ShutWithSuccess => Source.On(SourceEvent.ShutWithSuccess),
                _ => Source.On(SourceEvent.ShutWithFailure),
            };
            _sourceIsOver |= verdict is not (SourceVerdict.GoOn or SourceVerdict.Pause);
        }
    }
}

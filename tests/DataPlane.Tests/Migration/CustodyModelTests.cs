using CsCheck;
using DataPlane.Migration;
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
    [InlineData(false)]
    [InlineData(true)]
    public void Whatever_happens_the_guest_has_one_owner(bool postcopy) =>
        Gen.Enum<Step>().Array[0, Steps].Sample(
            steps =>
            {
                using var model = new Model(_guest, postcopy);
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

    private sealed class Model(TestGuest guest, bool postcopy) : IDisposable
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

        private SourceCustody Source => _source ??= new SourceCustody(guest, TimeProvider.System);

        private DestinationCustody Destination => _destination ??= new DestinationCustody(_host);

        public void Dispose() => _host.Dispose();

        public void Check()
        {
            Assert.False(Source.Owner == GuestOwner.Source && _host.Started, "the guest may run on both sides");
            Assert.False(
                Source.Owner == GuestOwner.Destination && _destinationIsOver && !_host.Started, "the guest is said to be where it is not");
        }

        /// <summary>The link is gone, and both find out.</summary>
        public void Settle()
        {
            Take(Step.LinkBreaks);
            Take(Step.SourceNotices);
            Take(Step.DestinationNotices);
            Assert.True(
                Source.Owner != GuestOwner.Destination || _host.Started, "the source has given the guest up to a destination without it");
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
                case Step.DestinationHears or Step.DestinationHearsAndFails when !_destinationIsOver && _forward.TryDequeue(out var message):
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
                    _destinationIsOver |= Destination.IsOurs
                        ? Destination.On(DestinationEvent.LostBeforeProof) != DestinationVerdict.GoOn
                        : Destination.On(DestinationEvent.Failed) == DestinationVerdict.LetGo;
                    break;
                case Step.SourceComesAgain when _sourceKnows && _destinationKnows && !_sourceIsOver && !_destinationIsOver
                    && Destination.IsOurs && postcopy:
                    (_broken, _sourceKnows, _destinationKnows, _ended) = (false, false, false, false);
                    Destination.On(DestinationEvent.SourceCameAgain);
                    Source.On(SourceEvent.BitmapReceived);
                    break;
            }
        }

        private void GoOn()
        {
            if (!Source.IsLeaving)
            {
                Source.On(postcopy ? SourceEvent.PackageBegins : SourceEvent.LastByteBegins);
                if (!postcopy)
                    Source.On(SourceEvent.LastByteSent);
                _forward.Enqueue(postcopy ? Message.Package : Message.LastByte);
            }
            else if (postcopy && !_ended)
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

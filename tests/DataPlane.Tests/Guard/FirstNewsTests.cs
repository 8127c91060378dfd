using DataPlane.Guard.ReturnPath;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class FirstNewsTests
{
    [Fact]
    public void A_return_path_is_told_once_of_each_kind_however_often_it_repeats_itself()
    {
        List<(ReturnPathType, uint)> told = [];
        FirstNews news = new((type, value) => told.Add((type, value)));
        for (uint i = 0; i < 1000; i++)
        {
            news.Take(ReturnPathType.Pong, i);
            news.Take(ReturnPathType.RequestPages, 0);
            news.Take(ReturnPathType.ReceivedBitmap, i);
            news.Take(ReturnPathType.ResumeAck, 1);
            news.Take(ReturnPathType.Shut, i);
        }

        Assert.Equal(
        [
            (ReturnPathType.RequestPages, 0u), (ReturnPathType.ResumeAck, 1u), (ReturnPathType.Shut, 0u),
            (ReturnPathType.Pong, FirstNews.PostcopyDiscards),
        ], told);
    }
}

namespace DataPlane.Wire;

/// <summary>The byte that opens each element of the main stream (specification, 2-main-stream section 1.3).</summary>
internal enum SectionType : byte
{
    EndOfFile = 0,
    Start = 1,
    Part = 2,
    End = 3,
    Full = 4,
    Subsection = 5,
    VmDescription = 6,
    Configuration = 7,
    Command = 8,
    Footer = 0x7E,
}

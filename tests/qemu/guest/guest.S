/* The tests' guest: one boot image of a few hundred bytes that makes a migration checkable to the last byte.

   build          writes guest.bin from this file
   disk           guest.bin, its parameters patched, padded to 1 MiB (SeaBIOS does not boot a smaller disk)

   It takes the RAM from 1 MiB to the end of the first high E820 range and
     1. fills it: page p (address / 4096) in runs of 2^((p >> 8) & 7) pages of one kind, kind = (p >> that) & 3:
          0      zeros                                      (fill 1: random, as 2 and 3)
          1      one byte, (p | 1) & 0xff, 4096 times        (fill 1: random, as 2 and 3)
          2, 3   1024 words of xorshift32, seeded with (p * 0x9E3779B1) | 1
     2. treats a window of it differently: page i of the window is rewritten in every pass c
          i % 4 == 0    all words: zero where ((i / 4 + c) & 3) == 0, else (c * 0x9E3779B1) ^ i      zero pages come and go
          else          words 0 and 512 are c, all others (i * 0x9E3779B1) | 1                       a few bytes change: XBZRLE's case
        and before it is rewritten it must hold what pass c - 1 left there;
     3. checks `check` of the other pages per pass against 1, round and round;
     4. says on the serial port, one line per pass, numbers in hexadecimal:
          DP fill TTTTTTTT                      once: filled up to this address
          DP pass CCCCCCCC round RRRRRRRR      pass, and how often all of the RAM has been found right
          DP BAD AAAAAAAA                       the page at this address is not what it must be (and goes on)

   Memory below 1 MiB: this code at 0x7C00, stack below it. No interrupts, no paging.
*/
        .set    GOLDEN, 0x9E3779B1
        .set    COM1, 0x3F8
        .set    SECTORS, 3                      /* of this image, behind the boot sector */

        .text
        .code16
        .globl  _start
_start: ljmp    $0, $1f
1:      cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7C00, %sp
        cld
        sti
        movw    $0x0200 + SECTORS, %ax          /* the rest of this image, from the drive in dl */
        movw    $0x0002, %cx
        xorb    %dh, %dh
        movw    $0x7E00, %bx
        int     $0x13
        jc      dead

        xorl    %ebx, %ebx                      /* E820: the range that begins at 1 MiB */
2:      movl    $0xE820, %eax
        movl    $0x534D4150, %edx
        movl    $24, %ecx
        movw    $range, %di
        int     $0x15
        jc      dead
        cmpl    $0x100000, range
        jne     3f
        cmpl    $0, range + 4
        jne     3f
        cmpl    $1, range + 16
        je      4f
3:      testl   %ebx, %ebx
        jnz     2b
dead:   movw    $COM1, %dx                      /* '!' on the serial port: the BIOS did not answer */
        movb    $'!', %al
        outb    %al, %dx
        hlt
        jmp     dead

4:      movl    range + 8, %eax
        addl    $0x100000, %eax
        andl    $0xFFFFF000, %eax
        movl    %eax, top
        cli
        inb     $0x92, %al                      /* A20 */
        orb     $2, %al
        andb    $0xFE, %al
        outb    %al, $0x92
        lgdt    gdtr
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmp    $8, $flat

        .balign 8
gdt:    .quad   0
        .quad   0x00CF9A000000FFFF
        .quad   0x00CF92000000FFFF
gdtr:   .word   gdtr - gdt - 1
        .long   gdt

        /* Parameters, patched into the disk by the tests; found by the magic, at offset 432 of the image. */
        .org    432
        .ascii  "DPGUEST1"
fill:   .long   0                               /* 0: all kinds of pages, 1: random pages only */
window: .long   0x02000000                      /* address of the window */
size:   .long   0x01000000                      /* bytes of the window, 0: none */
check:  .long   2048                            /* pages outside the window checked per pass */
pace:   .long   0                               /* empty loops after each pass */

        .org    510
        .word   0xAA55

        .code32
flat:   movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x7C00, %esp

        movl    $COM1 + 1, %edx                 /* serial: no interrupts, 115200 8N1, FIFO on */
        xorl    %eax, %eax
        outb    %al, %dx
        addl    $2, %edx
        movb    $0x80, %al
        outb    %al, %dx
        subl    $3, %edx
        movb    $1, %al
        outb    %al, %dx
        incl    %edx
        xorl    %eax, %eax
        outb    %al, %dx
        addl    $2, %edx
        movb    $3, %al
        outb    %al, %dx
        decl    %edx
        movb    $1, %al
        outb    %al, %dx

        movl    $0x100000, %edi                 /* 1. fill */
1:      call    in_window
        jc      2f
        call    fill_page
        jmp     3f
2:      call    window_page                     /* pass 0 of the window */
3:      cmpl    top, %edi
        jb      1b
        movl    $text_fill, %esi
        call    print
        movl    top, %eax
        call    print_hex
        call    newline
        movl    $0x100000, next

pass:   incl    counter                         /* 2. the window */
        movl    window, %edi
        movl    window, %ebp
        addl    size, %ebp
1:      cmpl    %ebp, %edi
        jae     2f
        decl    counter
        call    window_check
        incl    counter
        call    window_page
        jmp     1b

2:      movl    next, %edi                      /* 3. the rest */
        movl    check, %ebp
3:      testl   %ebp, %ebp
        jz      5f
        decl    %ebp
        call    in_window
        jc      6f
        call    check_page
        jmp     7f
6:      addl    $4096, %edi
7:      cmpl    top, %edi
        jb      3b
        movl    $0x100000, %edi
        incl    round
        jmp     3b
5:      movl    %edi, next

        movl    $text_pass, %esi                /* 4. report */
        call    print
        movl    counter, %eax
        call    print_hex
        movl    $text_round, %esi
        call    print
        movl    round, %eax
        call    print_hex
        call    newline
        movl    pace, %ecx
8:      testl   %ecx, %ecx
        jz      pass
        decl    %ecx
        jmp     8b

/* carry: the page at edi lies in the window */
in_window:
        movl    %edi, %eax
        subl    window, %eax
        cmpl    size, %eax
        ret

/* eax = kind of the page at edi, ebx = its number */
kind:   movl    %edi, %ebx
        shrl    $12, %ebx
        movl    $2, %eax
        cmpl    $0, fill
        jne     1f
        movl    %ebx, %ecx
        shrl    $8, %ecx
        andl    $7, %ecx
        movl    %ebx, %eax
        shrl    %cl, %eax
        andl    $3, %eax
1:      ret

/* eax = the word that a page of kind 0 or 1 is made of */
plain:  testl   %eax, %eax
        jz      1f
        movl    %ebx, %eax
        orl     $1, %eax
        andl    $0xFF, %eax
        imull   $0x01010101, %eax, %eax
1:      ret

        .macro  xorshift                        /* eax: next random word; uses edx */
        movl    %eax, %edx
        shll    $13, %edx
        xorl    %edx, %eax
        movl    %eax, %edx
        shrl    $17, %edx
        xorl    %edx, %eax
        movl    %eax, %edx
        shll    $5, %edx
        xorl    %edx, %eax
        .endm

/* writes the page at edi, edi moves on */
fill_page:
        call    kind
        cmpl    $2, %eax
        jae     1f
        call    plain
        movl    $1024, %ecx
        rep stosl
        ret
1:      imull   $GOLDEN, %ebx, %eax
        orl     $1, %eax
        movl    $1024, %ecx
2:      xorshift
        movl    %eax, (%edi)
        addl    $4, %edi
        decl    %ecx
        jnz     2b
        ret

/* compares the page at edi, edi moves on */
check_page:
        movl    %edi, start
        call    kind
        cmpl    $2, %eax
        jae     1f
        call    plain
        movl    $1024, %ecx
        repe scasl
        jne     bad
        jmp     good
1:      imull   $GOLDEN, %ebx, %eax
        orl     $1, %eax
        movl    $1024, %ecx
2:      xorshift
        cmpl    %eax, (%edi)
        jne     bad
        addl    $4, %edi
        decl    %ecx
        jnz     2b
        jmp     good

bad:    movl    $text_bad, %esi
        call    print
        movl    start, %eax
        call    print_hex
        call    newline
good:   movl    start, %edi
        addl    $4096, %edi
        ret

/* eax = word of the window's page at edi for pass `counter`, ebx = its number there; zero flag: the whole page changes */
window_word:
        movl    %edi, %ebx
        subl    window, %ebx
        shrl    $12, %ebx
        testl   $3, %ebx
        jnz     2f
        movl    %ebx, %eax
        shrl    $2, %eax
        addl    counter, %eax
        testl   $3, %eax
        movl    $0, %eax
        jz      1f
        imull   $GOLDEN, counter, %eax
        xorl    %ebx, %eax
1:      testl   $3, %ebx
        ret
2:      imull   $GOLDEN, %ebx, %eax
        orl     $1, %eax
        testl   $3, %ebx
        ret

/* writes the window's page at edi as of pass `counter`, edi moves on */
window_page:
        call    window_word
        jz      1f
        cmpl    $0, counter
        jne     2f
        movl    $1024, %ecx
        rep stosl
        subl    $4096, %edi
2:      movl    counter, %eax
        movl    %eax, (%edi)
        movl    %eax, 2048(%edi)
        addl    $4096, %edi
        ret
1:      movl    $1024, %ecx
        rep stosl
        ret

/* compares the window's page at edi with pass `counter`; edi stays */
window_check:
        movl    %edi, start
        call    window_word
        jnz     1f
        movl    $1024, %ecx
        repe scasl
        jne     3f
        jmp     2f
1:      movl    counter, %edx
        cmpl    %edx, (%edi)
        jne     3f
        cmpl    %edx, 2048(%edi)
        jne     3f
        addl    $4, %edi
        movl    $511, %ecx
        repe scasl
        jne     3f
        addl    $4, %edi
        movl    $511, %ecx
        repe scasl
        je      2f
3:      call    bad
2:      movl    start, %edi
        ret

newline:
        movl    $text_newline, %esi
print:  lodsb
        testb   %al, %al
        jz      1f
        call    put
        jmp     print
1:      ret

print_hex:
        movl    %eax, %ebx
        movl    $8, %ecx
1:      roll    $4, %ebx
        movl    %ebx, %eax
        andl    $15, %eax
        movb    digits(%eax), %al
        call    put
        decl    %ecx
        jnz     1b
        ret

put:    movb    %al, %ah
        movl    $COM1 + 5, %edx
1:      inb     %dx, %al
        testb   $0x20, %al
        jz      1b
        movb    %ah, %al
        movl    $COM1, %edx
        outb    %al, %dx
        ret

text_fill:    .asciz "DP fill "
text_pass:    .asciz "DP pass "
text_round:   .asciz " round "
text_bad:     .asciz "DP BAD "
text_newline: .asciz "\n"
digits:       .ascii "0123456789abcdef"

        .balign 4
counter: .long  0                               /* pass */
round:   .long  0
next:    .long  0                               /* next page to check */
start:   .long  0
top:     .long  0
range:   .skip  24

        .org    512 + SECTORS * 512

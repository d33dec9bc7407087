//! The registers of a RISC-V debug module by their address on the debug module interface, and their fields (RISC-V
//! External Debug Support 0.13.2, 3.14).
//!
//! | addresses | registers |
//! |---|---|
//! | 0x04, 0x05 | data, what abstract commands take and give |
//! | 0x10 to 0x12 | the hart: what is asked of it, what it is |
//! | 0x16 to 0x18 | abstract commands |
//! | 0x20 to 0x2F | the program buffer |
//! | 0x38 to 0x3C | the system bus |

/// What the first abstract data is.
pub const DATA0: u8 = 0x04;
/// The second.
pub const DATA1: u8 = 0x05;
/// What is asked of the hart.
pub const DMCONTROL: u8 = 0x10;
/// What it is.
pub const DMSTATUS: u8 = 0x11;
/// What a debugger may use of the hart.
pub const HARTINFO: u8 = 0x12;
/// How abstract commands go.
pub const ABSTRACTCS: u8 = 0x16;
/// The abstract command.
pub const COMMAND: u8 = 0x17;
/// Which accesses execute it again.
pub const ABSTRACTAUTO: u8 = 0x18;
/// The first word of the program buffer.
pub const PROGBUF0: u8 = 0x20;
/// The last one that there can be.
pub const PROGBUF15: u8 = 0x2F;
/// How accesses by the system bus are made.
pub const SBCS: u8 = 0x38;
/// Where they are made.
pub const SBADDRESS0: u8 = 0x39;
/// What they write and have read.
pub const SBDATA0: u8 = 0x3C;
/// Which harts are halted, a bit each.
pub const HALTSUM0: u8 = 0x40;

/// dmcontrol: halt the hart, and keep it halted out of a reset.
pub const HALTREQ: u32 = 1 << 31;
/// dmcontrol: let it run on.
pub const RESUMEREQ: u32 = 1 << 30;
/// dmcontrol: that it was reset is known.
pub const ACKHAVERESET: u32 = 1 << 28;
/// dmcontrol: which hart, its bit of those that this module has.
pub const HARTSEL: u32 = 1 << 16;
/// dmcontrol: have it halt out of each reset.
pub const SETRESETHALTREQ: u32 = 1 << 3;
/// dmcontrol: no more of that.
pub const CLRRESETHALTREQ: u32 = 1 << 2;
/// dmcontrol: hold the system in reset.
pub const NDMRESET: u32 = 1 << 1;
/// dmcontrol: the module works.
pub const DMACTIVE: u32 = 1 << 0;

/// dmstatus: an ebreak follows the program buffer.
pub const IMPEBREAK: u32 = 1 << 22;
/// dmstatus: any and all have been reset.
pub const HAVERESET: u32 = 0b11 << 18;
/// dmstatus: any and all have resumed.
pub const RESUMEACK: u32 = 0b11 << 16;
/// dmstatus: any and all do not exist.
pub const NONEXISTENT: u32 = 0b11 << 14;
/// dmstatus: any and all are unavailable.
pub const UNAVAIL: u32 = 0b11 << 12;
/// dmstatus: any and all run.
pub const RUNNING: u32 = 0b11 << 10;
/// dmstatus: any and all are halted.
pub const HALTED: u32 = 0b11 << 8;
/// dmstatus: the debugger may use it.
pub const AUTHENTICATED: u32 = 1 << 7;
/// dmstatus: a hart can be had halted out of a reset.
pub const HASRESETHALTREQ: u32 = 1 << 5;
/// dmstatus: of version 0.13.
pub const VERSION: u32 = 2;

/// command: the size of 32 bits.
pub const AARSIZE_32: u32 = 2 << 20;
/// command: count the register on.
pub const AARPOSTINCREMENT: u32 = 1 << 19;
/// command: execute the program buffer afterwards.
pub const POSTEXEC: u32 = 1 << 18;
/// command: move a register.
pub const TRANSFER: u32 = 1 << 17;
/// command: from data to the register.
pub const WRITE: u32 = 1 << 16;
/// command: the number of x0.
pub const GPR0: u32 = 0x1000;

/// sbcs: version 1.
pub const SBVERSION: u32 = 1 << 29;
/// sbcs: an access was asked for while another was under way. Writing 1 clears it.
pub const SBBUSYERROR: u32 = 1 << 22;
/// sbcs: a write of sbaddress0 reads.
pub const SBREADONADDR: u32 = 1 << 20;
/// sbcs: the size of an access, as a power of two of bytes.
pub const SBACCESS: u32 = 0b111 << 17;
/// sbcs: the size of 32 bits.
pub const SBACCESS_32: u32 = 2 << 17;
/// sbcs: an access counts the address on.
pub const SBAUTOINCREMENT: u32 = 1 << 16;
/// sbcs: a read of sbdata0 reads the next.
pub const SBREADONDATA: u32 = 1 << 15;
/// sbcs: why an access failed. Writing ones clears it.
pub const SBERROR: u32 = 0b111 << 12;

/// CSR: why the hart is in debug mode, and what leads there.
pub const DCSR: u16 = 0x7B0;
/// CSR: where it goes on.
pub const DPC: u16 = 0x7B1;
/// CSR: a debugger's own.
pub const DSCRATCH0: u16 = 0x7B2;
/// CSR: another.
pub const DSCRATCH1: u16 = 0x7B3;
/// CSR: what the hart can execute.
pub const MISA: u16 = 0x301;

/// dcsr: ebreak leads to debug mode, in machine, supervisor and user mode.
pub const EBREAKS: u32 = 0b1011 << 12;
/// dcsr: interrupts are taken while it steps.
pub const STEPIE: u32 = 1 << 11;
/// dcsr: one instruction, and back to debug mode.
pub const STEP: u32 = 1 << 2;

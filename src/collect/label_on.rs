//! Tests that the target itself names: by calls of a function, each of which says which test begins.
//!
//! What enters is a function and which of its arguments is the name; what leaves is, at each call, the name of the test
//! that begins there, or that none does. What always holds: the target stands still from the call until the snapshot for
//! it is taken, and runs on then; all of that is in the [pause](Reader::pause), from the last look that found it running;
//! a stop that is nobody's call is left alone; whatever the target has for a name ends no session.

use std::str::FromStr;
use std::time::Instant;

use covtap_link::{Endianness, LinkError, PointerWidth, ReadRequest, RunControl, RunState, TargetAddr};

use super::abi::{self, Abi, Place};
use super::labels::MAX_TEST_NAME_BYTES;
use super::reader::Reader;
use super::{CollectError, MeteredLink};
use crate::image::{Image, Slide, Symbol, SymbolKind, uint, wrap};

/// Strings are read in pieces that end where this divides their address: none passes the end of a page.
const PIECE_BYTES: usize = 64;

/// A function whose calls name tests, and which argument does, as the user gives it: `SYMBOL`, `SYMBOL:N`, `SYMBOL:Ni`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LabelSpec {
    /// The function's name in the ELF.
    pub symbol: String,
    /// The argument's number, from 1.
    pub argument: usize,
    /// Whether the argument is a number, and not a pointer to a string.
    pub is_integer: bool,
}

/// It cannot be done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LabelOnError {
    /// Nobody keeps the tests.
    #[error("label tests on {symbol}: the session keeps no tests")]
    NoTests {
        /// The function.
        symbol: String,
    },
    /// No program has it.
    #[error("label tests on {symbol}: no ELF has a function of that name")]
    NoSymbol {
        /// The function.
        symbol: String,
    },
    /// There are several.
    #[error("label tests on {symbol}: there is one at {first} and one at {second}")]
    Several {
        /// The function.
        symbol: String,
        /// Where the first one is.
        first: TargetAddr,
        /// Where another one is.
        second: TargetAddr,
    },
    /// Calls of that architecture are not known.
    #[error("label tests on {symbol}: where calls on {architecture} have their arguments is not known")]
    NoAbi {
        /// The function.
        symbol: String,
        /// The image's architecture.
        architecture: &'static str,
    },
    /// The argument is nowhere that is known.
    #[error("label tests on {symbol}: argument {argument} is out of reach: the first {reached} are found")]
    NoArgument {
        /// The function.
        symbol: String,
        /// Its number.
        argument: usize,
        /// How many can be found.
        reached: usize,
    },
    /// The link has no breakpoints.
    #[error("label tests on {symbol}: this way to {endpoint} has no breakpoints")]
    NoControl {
        /// The function.
        symbol: String,
        /// Where the target is.
        endpoint: String,
    },
}

/// A function of the target's whose calls name tests.
#[derive(Clone, Debug)]
pub struct LabelOn {
    symbol: String,
    at: TargetAddr,
    /// Of the breakpoint.
    kind: u8,
    abi: &'static Abi,
    place: Place,
    is_integer: bool,
    endianness: Endianness,
    width: PointerWidth,
}

/// A breakpoint that is set.
pub(super) struct Armed {
    on: LabelOn,
    /// The last look that found the target running began then.
    looked: Instant,
    /// The target may stand at a call, and ran until then at least.
    stopped: Option<Instant>,
}

/// What a call says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Called {
    /// The test that begins; none where there is no name.
    pub(super) name: Option<String>,
    /// What is to be known about the name.
    pub(super) fault: Option<String>,
}

impl FromStr for LabelSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (symbol, argument) = text.rsplit_once(':').unwrap_or((text, "1"));
        let number = argument.strip_suffix('i');
        let is_integer = number.is_some();
        let argument = number.unwrap_or(argument).parse().ok().filter(|number| *number > 0);
        let argument = argument.ok_or(
            "after the : stands the number of an argument, from 1; with an i behind it for a number",
        )?;
        if symbol.is_empty() {
            return Err("no function before the :".to_owned());
        }
        Ok(Self { symbol: symbol.to_owned(), argument, is_integer })
    }
}

impl LabelOn {
    /// Finds the function in the programs that the target runs.
    ///
    /// # Errors
    ///
    /// There is none, or several are; or its argument cannot be found.
    pub fn find<'a>(
        spec: &LabelSpec,
        programs: impl Iterator<Item = (&'a Image, Slide)>,
    ) -> Result<Self, LabelOnError> {
        let symbol = || spec.symbol.clone();
        let mut found: Option<Self> = None;
        for (image, slide) in programs {
            let is_it = |it: &Symbol<'_>| it.name == spec.symbol && it.kind != SymbolKind::Object;
            for function in image.symbols().filter(is_it) {
                let one = Self::at(spec, image, slide, &function)?;
                match &found {
                    Some(other) if other.at != one.at => {
                        return Err(LabelOnError::Several {
                            symbol: symbol(),
                            first: other.at,
                            second: one.at,
                        });
                    }
                    _ => found = Some(one),
                }
            }
        }
        found.ok_or_else(|| LabelOnError::NoSymbol { symbol: symbol() })
    }

    fn at(
        spec: &LabelSpec,
        image: &Image,
        slide: Slide,
        function: &Symbol<'_>,
    ) -> Result<Self, LabelOnError> {
        let (symbol, argument) = (spec.symbol.clone(), spec.argument);
        let Some(abi) = Abi::of(image.machine()) else {
            return Err(LabelOnError::NoAbi { symbol, architecture: image.architecture() });
        };
        let Some(place) = abi.argument(argument) else {
            return Err(LabelOnError::NoArgument { symbol, argument, reached: abi.num_arguments() });
        };
        let (at, kind) = abi::entry(image, slide, function);
        Ok(Self {
            symbol,
            at,
            kind,
            abi,
            place,
            is_integer: spec.is_integer,
            endianness: image.endianness(),
            width: image.pointer_width(),
        })
    }

    /// The function's name.
    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Where it begins.
    #[must_use]
    pub fn entry(&self) -> TargetAddr {
        self.at
    }

    /// Sets the breakpoint, and makes sure that what is needed at a call can be read.
    fn arm(self, link: &mut MeteredLink) -> Result<Armed, CollectError> {
        let started = Instant::now();
        let control = self.control(link)?;
        let ran = control.state() == RunState::Running;
        control.stop()?;
        control.set_breakpoint(self.at, self.kind)?;
        let is_there = self.is_at_entry(control)?;
        self.register(control)?;
        let stopped = is_there.then_some(started);
        if ran && !is_there {
            control.resume()?;
            link.add_pause(started.elapsed());
        }
        Ok(Armed { on: self, looked: Instant::now(), stopped })
    }

    fn control<'l>(&self, link: &'l mut MeteredLink) -> Result<&'l mut dyn RunControl, CollectError> {
        let endpoint = link.info().endpoint;
        let none = || LabelOnError::NoControl { symbol: self.symbol.clone(), endpoint };
        Ok(link.control().ok_or_else(none)?)
    }

    /// Whether a target that stands still is about to execute the function.
    fn is_at_entry(&self, control: &mut dyn RunControl) -> Result<bool, LinkError> {
        Ok(read_any(control, self.abi.counters)? == self.at.get())
    }

    /// The argument, or the stack pointer.
    fn register(&self, control: &mut dyn RunControl) -> Result<u64, LinkError> {
        match self.place {
            Place::Register(name) => control.read_register(name),
            Place::Stack { pointer, .. } => read_any(control, pointer),
        }
    }

    /// The argument of the call that the target stands at.
    fn argument(&self, link: &mut MeteredLink) -> Result<u64, CollectError> {
        let value = self.register(self.control(link)?)?;
        let Place::Stack { offset_bytes, .. } = self.place else { return Ok(wrap(value, self.width)) };
        let mut slot = [0; 4];
        let addr = TargetAddr::new(wrap(value.wrapping_add(offset_bytes), self.width));
        link.read_many(&mut [ReadRequest { addr, buf: &mut slot }])?;
        Ok(uint(&slot, self.endianness))
    }

    /// What the call says that the target stands at.
    fn called(&self, link: &mut MeteredLink) -> Result<Called, CollectError> {
        let argument = self.argument(link)?;
        if self.is_integer {
            // An int, of which a 64-bit register's upper half says nothing.
            let [a, b, c, d, ..] = argument.to_le_bytes();
            return Ok(Called { name: Some(i32::from_le_bytes([a, b, c, d]).to_string()), fault: None });
        }
        if argument == 0 {
            return Ok(Called { name: None, fault: None });
        }
        Ok(name_of(&read_string(link, argument, self.width)?))
    }
}

/// The first of several registers that the server knows.
fn read_any(control: &mut dyn RunControl, names: &[&str]) -> Result<u64, LinkError> {
    let mut names = names.iter();
    let mut read = control.read_register(names.next().copied().unwrap_or("pc"));
    for name in names {
        match read {
            Err(LinkError::Unsupported { .. }) => read = control.read_register(name),
            _ => break,
        }
    }
    read
}

/// The string at `addr`, without its end; one byte more than a name may have where it does not end before.
fn read_string(link: &mut MeteredLink, addr: u64, width: PointerWidth) -> Result<Vec<u8>, LinkError> {
    let mut text = Vec::new();
    while text.len() <= MAX_TEST_NAME_BYTES {
        let at = wrap(addr.wrapping_add(text.len() as u64), width);
        let mut piece = [0; PIECE_BYTES];
        let len = PIECE_BYTES - usize::try_from(at % PIECE_BYTES as u64).unwrap_or_default();
        let piece = piece.get_mut(..len).unwrap_or_default();
        link.read_many(&mut [ReadRequest { addr: TargetAddr::new(at), buf: &mut *piece }])?;
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            text.extend_from_slice(piece.get(..end).unwrap_or_default());
            break;
        }
        text.extend_from_slice(piece);
    }
    text.truncate(MAX_TEST_NAME_BYTES + 1);
    Ok(text)
}

/// The name of a test that a target's bytes say.
fn name_of(bytes: &[u8]) -> Called {
    if bytes.is_empty() {
        return Called { name: None, fault: None };
    }
    let text = String::from_utf8_lossy(bytes);
    let replace = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    let mut name: String = text.chars().map(replace).collect();
    let fault = if name.len() > MAX_TEST_NAME_BYTES {
        name.truncate(name.floor_char_boundary(MAX_TEST_NAME_BYTES));
        Some(format!("the name of its test is cut to {MAX_TEST_NAME_BYTES} bytes: {name}"))
    } else if name.as_bytes() == bytes {
        None
    } else {
        Some(format!("the name of its test has bytes that are no text, which are replaced: {name}"))
    };
    Called { name: Some(name), fault }
}

impl Armed {
    /// The target said that it was stopped.
    pub(super) fn note_stop(&mut self) {
        self.stopped.get_or_insert(self.looked);
    }

    /// A look that began then has come to its end.
    pub(super) fn note_look(&mut self, began: Instant) {
        if self.stopped.is_none() {
            self.looked = began;
        }
    }

    /// The same function of the target over another link.
    pub(super) fn again(&self, link: &mut MeteredLink) -> Result<Self, CollectError> {
        self.on.clone().arm(link)
    }
}

impl Reader {
    /// Lets tests begin at calls of a function.
    ///
    /// # Errors
    ///
    /// The link has no breakpoints, or failed.
    pub fn label_on(&mut self, on: LabelOn) -> Result<(), CollectError> {
        self.label_on = Some(on.arm(&mut self.link)?);
        Ok(())
    }

    /// The function whose calls name tests.
    pub(super) fn label_symbol(&self) -> &str {
        self.label_on.as_ref().map_or("", |armed| armed.on.symbol())
    }

    /// Whether the target stands at a call that names a test. Any other stop is forgotten.
    pub(super) fn stands_at_call(&mut self) -> Result<bool, CollectError> {
        let Some(armed) = self.label_on.as_mut().filter(|armed| armed.stopped.is_some()) else {
            return Ok(false);
        };
        let control = armed.on.control(&mut self.link)?;
        let is_there = control.state() == RunState::Stopped && armed.on.is_at_entry(control)?;
        if !is_there {
            armed.stopped = None;
        }
        Ok(is_there)
    }

    /// What the call says that the target stands at. A name that cannot be read is none.
    pub(super) fn called(&mut self) -> Result<Called, CollectError> {
        let Some(armed) = &self.label_on else { return Ok(Called { name: None, fault: None }) };
        match armed.on.called(&mut self.link) {
            Err(CollectError::Link(error)) if !error.is_fatal() => {
                let fault = Some(format!("the name of its test is out of reach, and none begins ({error})"));
                Ok(Called { name: None, fault })
            }
            called => called,
        }
    }

    /// Lets a target run on that stands at a call.
    pub(super) fn leave_call(&mut self) -> Result<(), CollectError> {
        let Some(armed) = &mut self.label_on else { return Ok(()) };
        let Some(stopped) = armed.stopped.take() else { return Ok(()) };
        armed.on.control(&mut self.link)?.resume()?;
        armed.looked = Instant::now();
        self.link.add_pause(stopped.elapsed());
        Ok(())
    }
}

#[cfg(test)]
#[path = "label_on_tests.rs"]
mod tests;

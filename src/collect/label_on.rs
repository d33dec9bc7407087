//! Tests that the target itself names: by [calls](super::calls) of a function, each of which says which test begins.
//!
//! What enters is a function and which of its arguments is the name; what leaves is, at each call, the name of the test
//! that begins there, or that none does. What always holds: whatever the target has for a name ends no session, and no
//! more than [`MAX_FAULTS_TOLD`] of those that are none are said.

use std::str::FromStr;

use covtap_link::{Endianness, LinkError, PointerWidth, ReadRequest, RunControl, TargetAddr};

use super::abi::Place;
use super::function::{CallError, Function, Wanted, read_any};
use super::labels::MAX_TEST_NAME_BYTES;
use super::{CollectError, MeteredLink};
use crate::image::{Image, Slide, uint, wrap};

/// So many faults of names are said one by one.
const MAX_FAULTS_TOLD: usize = 20;

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

/// A function of the target's whose calls name tests.
#[derive(Clone, Debug)]
pub struct LabelOn {
    pub(super) function: Function,
    place: Place,
    is_integer: bool,
    endianness: Endianness,
    width: PointerWidth,
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
    ) -> Result<Self, CallError> {
        let wanted = Wanted::tests(&spec.symbol);
        let (function, image, _) = Function::find(&wanted, programs)?;
        let Some(place) = function.abi.argument(spec.argument) else {
            let (argument, reached) = (spec.argument, function.abi.num_arguments());
            return Err(CallError::NoArgument { wanted, argument, reached });
        };
        Ok(Self {
            function,
            place,
            is_integer: spec.is_integer,
            endianness: image.endianness(),
            width: image.pointer_width(),
        })
    }

    /// The function's name.
    #[must_use]
    pub fn symbol(&self) -> &str {
        self.function.symbol()
    }

    /// Where it begins.
    #[must_use]
    pub fn entry(&self) -> TargetAddr {
        self.function.entry()
    }

    /// The argument, or the stack pointer.
    pub(super) fn register(&self, control: &mut dyn RunControl) -> Result<u64, LinkError> {
        match self.place {
            Place::Register(name) => control.read_register(name),
            Place::Stack { pointer, .. } => read_any(control, pointer),
        }
    }

    /// The argument of the call that the target stands at.
    fn argument(&self, link: &mut MeteredLink) -> Result<u64, CollectError> {
        let value = self.register(self.function.control(link)?)?;
        let Place::Stack { offset_bytes, .. } = self.place else { return Ok(wrap(value, self.width)) };
        let mut slot = [0; 4];
        let addr = TargetAddr::new(wrap(value.wrapping_add(offset_bytes), self.width));
        link.read_many(&mut [ReadRequest { addr, buf: &mut slot }])?;
        Ok(uint(&slot, self.endianness))
    }

    /// What the call says that the target stands at. A name that cannot be read is none.
    pub(super) fn called(&self, link: &mut MeteredLink) -> Result<Called, CollectError> {
        match self.try_called(link) {
            Err(CollectError::Link(error)) if !error.is_fatal() => {
                let fault = Some(format!("the name of its test is out of reach, and none begins ({error})"));
                Ok(Called { name: None, fault })
            }
            called => called,
        }
    }

    fn try_called(&self, link: &mut MeteredLink) -> Result<Called, CollectError> {
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

/// What is said of calls that did not go as they should: a target decides how many there are.
#[derive(Default)]
pub(super) struct CallFaults {
    told: usize,
    untold: u64,
}

impl CallFaults {
    /// What there is to say of a fault: nothing once it was said that there are more.
    pub(super) fn see(&mut self, fault: String) -> Option<String> {
        if self.told < MAX_FAULTS_TOLD {
            self.told += 1;
            return Some(fault);
        }
        self.untold += 1;
        (self.untold == 1).then(|| "there is more to say of calls, which is counted and not said".to_owned())
    }

    /// How many faults were not said.
    pub(super) fn untold(&self) -> u64 {
        self.untold
    }
}

#[cfg(test)]
#[path = "label_on_tests.rs"]
mod tests;

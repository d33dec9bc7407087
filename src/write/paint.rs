//! Colours for a terminal, or none.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const RED: Style = AnsiColor::Red.on_default();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();
pub(super) const MAGENTA: Style = AnsiColor::Magenta.on_default();
pub(super) const ON_RED: Style = background(AnsiColor::Red);
pub(super) const ON_CYAN: Style = background(AnsiColor::Cyan);

const fn background(colour: AnsiColor) -> Style {
    Style::new().bg_color(Some(anstyle::Color::Ansi(colour)))
}

/// Puts text into colours, if there are any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    is_coloured: bool,
}

impl Paint {
    pub(super) fn new(is_coloured: bool) -> Self {
        Self { is_coloured }
    }

    /// Writes the text, in the style if there is one.
    pub(super) fn text(
        self,
        style: Option<Style>,
        text: impl AsRef<[u8]>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let style = style.filter(|_| self.is_coloured).unwrap_or_default();
        write!(out, "{style}")?;
        out.write_all(text.as_ref())?;
        write!(out, "{style:#}")
    }
}

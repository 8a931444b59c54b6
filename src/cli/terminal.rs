//! What commands write to stdout and stderr. Everything that a person's terminal shows goes through [`Terminal::print`]: of the
//! characters that act upon a terminal only line feeds and the palette's own colours get there, the rest is escaped.

use super::{Exit, write_error};
use crate::untrusted::make_visible;
use serde_json::Value;
use std::fmt;
use std::io::{IsTerminal, Write, stderr, stdout};

/// stdout or stderr.
pub struct Terminal {
    out: Box<dyn Write>,
    /// Is it a terminal, and not a file or a pipe?
    interactive: bool,
    palette: Palette,
}

/// Moves the cursor to the upper left and clears what follows. Clearing first would flicker.
const REDRAW: &str = "\x1b[H\x1b[J";

impl Terminal {
    /// This process's stdout, with colours if it is a terminal and they are allowed.
    pub fn stdout(colour: bool) -> Self {
        Self::new(stdout().is_terminal(), colour, stdout())
    }

    /// This process's stderr, without colours.
    pub fn stderr() -> Self {
        Self::new(stderr().is_terminal(), false, stderr())
    }

    fn new(interactive: bool, colour: bool, out: impl Write + 'static) -> Self {
        Self { out: Box::new(out), interactive, palette: Palette { colour: interactive && colour } }
    }

    /// The colours to use here.
    pub const fn palette(&self) -> Palette {
        self.palette
    }

    /// Writes a text.
    pub fn print(&mut self, text: &str) -> Result<(), Exit> {
        self.write(&self.palette.sanitize(text))
    }

    /// Writes a text in place of what a terminal shows; appends it to a file or pipe.
    pub fn redraw(&mut self, text: &str) -> Result<(), Exit> {
        if self.interactive {
            self.write(REDRAW)?;
        }
        self.print(text)
    }

    /// Writes a JSON document.
    pub fn print_json(&mut self, value: &Value) -> Result<(), Exit> {
        self.print(&format!("{value:#}\n"))
    }

    fn write(&mut self, text: &str) -> Result<(), Exit> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(write_error)
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("interactive", &self.interactive).finish_non_exhaustive()
    }
}

/// How a text is emphasised. A style only repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Up, passed.
    Good,
    /// Down, failed.
    Bad,
    /// Optional, unknown, advisory.
    Warning,
    /// To be found at a glance.
    Bold,
    /// Of less interest.
    Faint,
}

/// Begins a control sequence.
const ESCAPE: char = '\x1b';
/// What follows it to end a style.
const END: &str = "[0m";

impl Style {
    const ALL: [Self; 5] = [Self::Good, Self::Bad, Self::Warning, Self::Bold, Self::Faint];

    /// What follows [`ESCAPE`] to begin the style (ECMA-48, SGR).
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "[32m",
            Self::Bad => "[1;31m",
            Self::Warning => "[33m",
            Self::Bold => "[1m",
            Self::Faint => "[2m",
        }
    }

    /// The style of a target's or the node's state, by its slug.
    pub fn of_state(state: &str) -> Self {
        match state {
            "up" => Self::Good,
            "down" => Self::Bad,
            _ => Self::Warning,
        }
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    colour: bool,
}

impl Palette {
    /// No colours.
    pub const PLAIN: Self = Self { colour: false };

    /// The text in this style.
    pub fn paint(self, style: Style, text: &str) -> String {
        if self.colour { format!("{ESCAPE}{}{text}{ESCAPE}{END}", style.code()) } else { text.to_owned() }
    }

    /// The text with everything escaped that acts upon a terminal, except what [`Self::paint`] adds.
    fn sanitize(self, text: &str) -> String {
        let own = |rest: &str| rest.starts_with(END) || Style::ALL.iter().any(|style| rest.starts_with(style.code()));
        let mut pieces = text.split(ESCAPE);
        let mut safe = make_visible(pieces.next().unwrap_or_default());
        for piece in pieces {
            safe += &if self.colour && own(piece) { ESCAPE.to_string() } else { make_visible("\x1b") };
            safe += &make_visible(piece);
        }
        safe
    }
}

/// Rows whose columns are as wide as their widest cell.
#[derive(Clone, Debug, Default)]
pub struct Table {
    indent: usize,
    rows: Vec<Vec<(String, Option<Style>)>>,
}

impl Table {
    /// A table with a header.
    pub fn with_header(names: &[&str]) -> Self {
        Self { indent: 0, rows: vec![names.iter().map(|name| ((*name).to_owned(), Some(Style::Faint))).collect()] }
    }

    /// A table without a header, so many spaces from the left.
    pub const fn indented(indent: usize) -> Self {
        Self { indent, rows: Vec::new() }
    }

    /// Adds a row. The cell at `styled.0` gets the style `styled.1`.
    pub fn add(&mut self, cells: impl IntoIterator<Item = impl Into<String>>, styled: (usize, Style)) {
        let style = |column| (column == styled.0).then_some(styled.1);
        self.rows.push(cells.into_iter().enumerate().map(|(column, cell)| (cell.into(), style(column))).collect());
    }

    /// The table as text, a line per row.
    pub fn render(&self, palette: Palette) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (column, ((cell, style), width)) in row.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
                line += if column == 0 { "" } else { "  " };
                line += &style.map_or_else(|| cell.clone(), |style| palette.paint(style, cell));
                line += &gap;
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::with_header(&["TARGET", "STATE", "LAST"]);
        table.add(["db", "up", "answering"], (1, Style::Good));
        table.add(["cache (optional)", "down", ""], (1, Style::Bad));
        table
    }

    #[test]
    fn columns_align_and_lines_end_without_spaces() {
        let text = table().render(Palette::PLAIN);
        let lines = ["TARGET            STATE  LAST", "db                up     answering", "cache (optional)  down"];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn only_the_palettes_own_colours_reach_a_terminal() {
        let palette = Palette { colour: true };
        let painted = palette.paint(Style::Bad, "a\u{202e}b\u{1b}[8m\u{1b}]0;t\u{7}\r");
        let safe = "\u{1b}[1;31ma\\u202eb\\u001b[8m\\u001b]0;t\\u0007\\u000d\u{1b}[0m";
        assert_eq!(palette.sanitize(&painted), safe);
        assert_eq!(Palette::PLAIN.sanitize("\u{1b}[32mup\u{1b}[0m\n"), "\\u001b[32mup\\u001b[0m\n");
    }

    #[test]
    fn colours_do_not_count_for_the_width() {
        let text = table().render(Palette { colour: true });
        assert!(text.contains("db                \u{1b}[32mup\u{1b}[0m     answering\n"), "{text:?}");
    }
}

//! Markup that text cannot break out of.

/// HTML under construction. Markup is only what the program's own source says (`&'static str`); anything else is text, and
/// is escaped. The result is ASCII.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn raw(&mut self, markup: &'static str) {
        self.0 += markup;
    }

    /// Escapes for the content of an element and for a quoted attribute alike.
    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0 += "&amp;",
                '<' => self.0 += "&lt;",
                '>' => self.0 += "&gt;",
                '"' => self.0 += "&quot;",
                '\'' => self.0 += "&#39;",
                ' '..='~' => self.0.push(c),
                _ => self.0 += &format!("&#{};", u32::from(c)),
            }
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// `put!(html, "<b>", (text), "</b>")`: literals are markup, what stands in parentheses is text.
macro_rules! put {
    ($html:expr, $($piece:tt),+ $(,)?) => {{ $( put!(@one $html, $piece); )+ }};
    (@one $html:expr, ($text:expr)) => { $html.text(&$text) };
    (@one $html:expr, $markup:literal) => { $html.raw($markup) };
}
pub(super) use put;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_stays_text_in_content_and_in_attributes() {
        let mut html = Html::default();
        put!(html, "<a title=\"", ("\" onclick='x' \u{202e}"), "\">", ("</a><script>&amp;"), "</a>");
        assert_eq!(
            html.finish(),
            "<a title=\"&quot; onclick=&#39;x&#39; &#8238;\">&lt;/a&gt;&lt;script&gt;&amp;amp;</a>"
        );
    }

    proptest! {
        #[test]
        fn no_text_holds_markup(text in "\\PC{0,60}") {
            let mut html = Html::default();
            html.text(&text);
            let safe = html.finish();
            prop_assert!(safe.is_ascii() && !safe.contains(['<', '>', '"', '\'']), "{}", safe);
        }
    }
}

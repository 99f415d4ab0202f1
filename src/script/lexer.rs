//! Expressions cut into tokens.

use std::ops::Range;

use super::expression::Misread;
use super::function::Function;
use super::value::Value;

/// A piece of an expression. Words are read in any case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Constant(Value),
    /// 9223372036854775808, which is in range only behind a minus sign.
    TooLarge,
    Variable(&'a str),
    Name(&'a str),
    Operator(Function),
    /// `~`
    Invert,
    Open,
    Close,
    Comma,
    And,
    Or,
    Not,
    Is,
    IsNull,
    NotNull,
    Case,
    When,
    Then,
    Else,
    /// The word END.
    End_,
    /// The end of the text.
    End,
}

/// Operators, longest first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Function); 17] = [
    ("<<", Function::ShiftLeft),
    (">>", Function::ShiftRight),
    ("<=", Function::LessEqual),
    (">=", Function::GreaterEqual),
    ("<>", Function::NotEqual),
    ("!=", Function::NotEqual),
    ("+", Function::Add),
    ("-", Function::Subtract),
    ("*", Function::Multiply),
    ("/", Function::Divide),
    ("%", Function::Modulo),
    ("=", Function::Equal),
    ("<", Function::Less),
    (">", Function::Greater),
    ("|", Function::BitOr),
    ("&", Function::BitAnd),
    ("#", Function::BitXor),
];

/// The tokens of a text, read all at once.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    tokens: Vec<(Token<'a>, Range<usize>)>,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Result<Tokens<'a>, Misread> {
        let mut tokens = Vec::new();
        let mut start = 0;
        loop {
            let rest = text.get(start..).unwrap_or_default();
            let blank = rest.len() - rest.trim_start().len();
            start += blank;
            let rest = &rest[blank..];
            if rest.is_empty() {
                tokens.push((Token::End, start..start));
                return Ok(Tokens { text, tokens, at: 0 });
            }
            let (token, length) = token(rest, start)?;
            tokens.push((token, start..start + length));
            start += length;
        }
    }

    /// The one that comes next. The end comes for ever.
    pub(super) fn peek(&self) -> &Token<'a> {
        &self.here().0
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = *self.peek();
        self.at = (self.at + 1).min(self.tokens.len());
        token
    }

    fn here(&self) -> &(Token<'a>, Range<usize>) {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    /// Where the next one stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.here().1.clone()
    }

    /// Where the one stands that was taken last.
    pub(super) fn last_span(&self) -> Range<usize> {
        self.tokens[self.at.saturating_sub(1).min(self.tokens.len() - 1)].1.clone()
    }

    /// The next one as written.
    pub(super) fn text(&self) -> String {
        self.shown(self.span())
    }

    /// The last one as written.
    pub(super) fn last_text(&self) -> String {
        self.shown(self.last_span())
    }

    fn shown(&self, span: Range<usize>) -> String {
        match self.text.get(span).unwrap_or_default() {
            "" => "the end of the line".to_owned(),
            text => format!("`{text}`"),
        }
    }
}

/// The token at the beginning of `rest`, which is not blank, and its length.
fn token(rest: &str, start: usize) -> Result<(Token<'_>, usize), Misread> {
    let first = rest.chars().next().unwrap_or(' ');
    if first.is_ascii_digit() || first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return number(rest, start);
    }
    let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if first == ':' {
        let length = 1 + word(&rest[1..]);
        return match length {
            1 => Err(Misread { span: start..start + 1, message: "a variable has a name".to_owned(), help: "write :name".to_owned() }),
            _ => Ok((Token::Variable(&rest[1..length]), length)),
        };
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = word(rest);
        return Ok((keyword(&rest[..length]), length));
    }
    let single = match first {
        '(' => Some(Token::Open),
        ')' => Some(Token::Close),
        ',' => Some(Token::Comma),
        '~' => Some(Token::Invert),
        _ => None,
    };
    if let Some(token) = single {
        return Ok((token, 1));
    }
    let operator = OPERATORS.iter().find(|(text, _)| rest.starts_with(text));
    operator.map(|(text, function)| (Token::Operator(*function), text.len())).ok_or_else(|| Misread {
        span: start..start + first.len_utf8(),
        message: format!("`{}` has no meaning here", first.escape_default()),
        help: "numbers, :variables, functions, + - * / % = <> < <= > >= | & # ~ << >> and or not is".to_owned(),
    })
}

fn keyword(word: &str) -> Token<'_> {
    match word.to_ascii_lowercase().as_str() {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        "is" => Token::Is,
        "isnull" => Token::IsNull,
        "notnull" => Token::NotNull,
        "case" => Token::Case,
        "when" => Token::When,
        "then" => Token::Then,
        "else" => Token::Else,
        "end" => Token::End_,
        "null" => Token::Constant(Value::Null),
        "true" => Token::Constant(Value::Boolean(true)),
        "false" => Token::Constant(Value::Boolean(false)),
        _ => Token::Name(word),
    }
}

/// An integer, or a double if it has a point or an exponent.
fn number(rest: &str, start: usize) -> Result<(Token<'_>, usize), Misread> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(rest);
    let mut length = whole;
    if rest[length..].starts_with('.') {
        length += 1 + digits(&rest[length + 1..]);
    }
    if rest[length..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
        let exponent = digits(&rest[length + 1 + sign..]);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    let text = &rest[..length];
    let outside =
        || Misread { span: start..start + length, message: format!("{text} is too large"), help: "integers have 64 bits".to_owned() };
    let token = match length == whole {
        true if text == "9223372036854775808" => Token::TooLarge,
        true => Token::Constant(Value::Integer(text.parse().map_err(|_| outside())?)),
        false => Token::Constant(Value::Double(text.parse().map_err(|_| outside())?)),
    };
    Ok((token, length))
}

//! Expressions of `\set` and `\if`: from text to a tree. The grammar and its precedences are those of pgbench(1), "Built-in Operators".

use std::ops::Range;

use super::Symbols;
use super::function::Function;
use super::lexer::{Token, Tokens};
use super::value::Value;
use crate::diagnostic::closest;

/// Calls within calls that are followed; nobody writes more, and the stack has an end.
const DEEPEST: usize = 200;
/// Levels of a tree, for the same reason. A chain of operators nests to the left, so each adds a level; each is counted as two.
const TALLEST: usize = 1_000;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A value.
    Constant(Value),
    /// A variable, by its number in the symbol table.
    Variable(usize),
    /// A function or operator that takes the values of its arguments.
    Call(Function, Vec<Expression>),
    /// False as soon as the left side is.
    And(Box<[Expression; 2]>),
    /// True as soon as the left side is.
    Or(Box<[Expression; 2]>),
    /// The first branch whose condition is true, else the last expression.
    Case(Vec<[Expression; 2]>, Box<Expression>),
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Misread {
    /// Bytes of the text that it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What is allowed.
    pub help: String,
}

/// Reads a whole text.
pub fn parse(text: &str, symbols: &mut Symbols) -> Result<Expression, Misread> {
    let mut parser = Parser { tokens: Tokens::new(text)?, symbols, depth: 0, height: 0 };
    let expression = parser.expression(Power::Loosest)?;
    match parser.tokens.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.unexpected("an operator or the end of the line")),
    }
}

/// How tightly an operator binds, loosest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Power {
    Loosest,
    Or,
    And,
    Not,
    Is,
    Comparison,
    Bits,
    Sum,
    Product,
    Sign,
}

impl Power {
    /// What an operand right of a left-associative operator may hold: only what binds more tightly.
    fn tighter(self) -> Power {
        match self {
            Power::Loosest => Power::Or,
            Power::Or => Power::And,
            Power::And => Power::Not,
            Power::Not => Power::Is,
            Power::Is => Power::Comparison,
            Power::Comparison => Power::Bits,
            Power::Bits => Power::Sum,
            Power::Sum => Power::Product,
            Power::Product | Power::Sign => Power::Sign,
        }
    }
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    symbols: &'a mut Symbols,
    depth: usize,
    /// Levels of the expression or operand that was read last.
    height: usize,
}

impl Parser<'_> {
    /// An operand and every operator after it that binds at least as tightly as `least`.
    fn expression(&mut self, least: Power) -> Result<Expression, Misread> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.misread("the expression is nested too deeply", format!("at most {DEEPEST} levels")));
        }
        let mut left = self.operand()?;
        let mut height = self.height;
        let mut compared = false;
        loop {
            let (power, function) = match self.tokens.peek() {
                Token::Or => (Power::Or, None),
                Token::And => (Power::And, None),
                Token::Is | Token::IsNull | Token::NotNull => (Power::Is, None),
                Token::Operator(function) => (power_of(*function), Some(*function)),
                _ => break,
            };
            if power < least {
                break;
            }
            if compared && power == Power::Comparison {
                return Err(self.misread("comparisons do not follow one another", "put one of them in parentheses".to_owned()));
            }
            compared = power == Power::Comparison;
            let token = self.tokens.next();
            self.height = 0;
            left = match (token, function) {
                (Token::Or, _) => Expression::Or(Box::new([left, self.expression(power.tighter())?])),
                (Token::And, _) => Expression::And(Box::new([left, self.expression(power.tighter())?])),
                (Token::IsNull, _) => is(left, Value::Null),
                (Token::NotNull, _) => not(is(left, Value::Null)),
                (Token::Is, _) => self.is_what(left)?,
                (_, Some(function)) => {
                    let right = self.expression(power.tighter())?;
                    swapped(function, left, right)
                }
                _ => left,
            };
            // Two, as NOTNULL is a NOT of an IS.
            height = height.max(self.height) + 2;
            if height > TALLEST {
                let help = format!("at most {} operators in a row; set a variable to the first part", TALLEST / 2);
                return Err(self.misread("the expression has too many levels", help));
            }
        }
        self.depth -= 1;
        self.height = height;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, Misread> {
        self.height = 0;
        match self.tokens.next() {
            Token::Constant(value) => Ok(Expression::Constant(value)),
            // Only as the operand of a minus sign is it in range.
            Token::TooLarge => Err(self.misread_last("9223372036854775808 is too large", "integers have 64 bits".to_owned())),
            Token::Variable(name) => Ok(Expression::Variable(self.symbols.number(name))),
            Token::Open => {
                let inner = self.expression(Power::Loosest)?;
                self.expect(&Token::Close, "`)`")?;
                Ok(inner)
            }
            Token::Operator(Function::Subtract) if *self.tokens.peek() == Token::TooLarge => {
                self.tokens.next();
                Ok(Expression::Constant(Value::Integer(i64::MIN)))
            }
            Token::Operator(Function::Subtract) => {
                let zero = Expression::Constant(Value::Integer(0));
                let inner = self.expression(Power::Sign)?;
                self.height += 1;
                Ok(Expression::Call(Function::Subtract, vec![zero, inner]))
            }
            Token::Operator(Function::Add) => self.expression(Power::Sign),
            Token::Invert => {
                let ones = Expression::Constant(Value::Integer(-1));
                // It binds as loosely as the binary ones of its kind: `~1 + 1` is `~(1 + 1)`.
                let inner = self.expression(Power::Bits.tighter())?;
                self.height += 1;
                Ok(Expression::Call(Function::BitXor, vec![ones, inner]))
            }
            Token::Not => {
                let inner = self.expression(Power::Not)?;
                self.height += 1;
                Ok(not(inner))
            }
            Token::Case => self.case(),
            Token::Name(name) => self.call(name),
            _ => Err(self.unexpected_last("a number, a variable such as :x, a function or `(`")),
        }
    }

    fn is_what(&mut self, left: Expression) -> Result<Expression, Misread> {
        let negated = *self.tokens.peek() == Token::Not;
        if negated {
            self.tokens.next();
        }
        let Token::Constant(value) = self.tokens.next() else {
            return Err(self.unexpected_last("null, true, false or a number after IS"));
        };
        let is = is(left, value);
        Ok(if negated { not(is) } else { is })
    }

    fn case(&mut self) -> Result<Expression, Misread> {
        let (mut branches, mut height) = (Vec::new(), 0);
        while *self.tokens.peek() == Token::When {
            self.tokens.next();
            let condition = self.expression(Power::Loosest)?;
            height = height.max(self.height);
            self.expect(&Token::Then, "THEN")?;
            branches.push([condition, self.expression(Power::Loosest)?]);
            height = height.max(self.height);
        }
        if branches.is_empty() {
            return Err(self.unexpected("WHEN"));
        }
        let otherwise = match *self.tokens.peek() == Token::Else {
            true => {
                self.tokens.next();
                self.expression(Power::Loosest)?
            }
            false => Expression::Constant(Value::Null),
        };
        self.height = height.max(self.height) + 1;
        self.expect(&Token::End_, "WHEN, ELSE or END")?;
        Ok(Expression::Case(branches, Box::new(otherwise)))
    }

    fn call(&mut self, name: &str) -> Result<Expression, Misread> {
        let named = self.tokens.last_span();
        let Some(function) = Function::named(name) else {
            let help = match closest(name, Function::names()) {
                Some(close) => format!("did you mean {close}?"),
                None => format!("there are {}", crate::diagnostic::list(Function::names())),
            };
            let help =
                if *self.tokens.peek() == Token::Open { help } else { format!("a variable is written :{name}; of functions {help}") };
            return Err(Misread { span: named, message: format!("there is no function \"{name}\""), help });
        };
        self.expect(&Token::Open, "`(`")?;
        let (mut arguments, mut height) = (Vec::new(), 0);
        if *self.tokens.peek() != Token::Close {
            loop {
                arguments.push(self.expression(Power::Loosest)?);
                height = height.max(self.height);
                if *self.tokens.peek() != Token::Comma {
                    break;
                }
                self.tokens.next();
            }
        }
        self.expect(&Token::Close, "`,` or `)`")?;
        let allowed = function.arguments();
        if !allowed.contains(&arguments.len()) {
            let count = arguments.len();
            let help = function.signature().to_owned();
            return Err(Misread { span: named, message: format!("{name} does not take {count} argument(s)"), help });
        }
        self.height = height + 1;
        // Without a seed of its own, the script's is meant.
        if function.is_seeded() && arguments.len() < *allowed.end() {
            arguments.push(Expression::Variable(Symbols::DEFAULT_SEED));
        }
        Ok(Expression::Call(function, arguments))
    }

    fn expect(&mut self, wanted: &Token<'_>, words: &str) -> Result<(), Misread> {
        match self.tokens.peek() == wanted {
            true => {
                self.tokens.next();
                Ok(())
            }
            false => Err(self.unexpected(words)),
        }
    }

    fn misread(&self, message: &str, help: String) -> Misread {
        Misread { span: self.tokens.span(), message: message.to_owned(), help }
    }

    fn misread_last(&self, message: &str, help: String) -> Misread {
        Misread { span: self.tokens.last_span(), message: message.to_owned(), help }
    }

    fn unexpected(&self, wanted: &str) -> Misread {
        Misread {
            span: self.tokens.span(),
            message: format!("{} is not expected here", self.tokens.text()),
            help: format!("expected {wanted}"),
        }
    }

    fn unexpected_last(&self, wanted: &str) -> Misread {
        let message = format!("{} is not expected here", self.tokens.last_text());
        Misread { span: self.tokens.last_span(), message, help: format!("expected {wanted}") }
    }
}

fn power_of(function: Function) -> Power {
    match function {
        Function::Multiply | Function::Divide | Function::Modulo => Power::Product,
        Function::Add | Function::Subtract => Power::Sum,
        Function::BitAnd | Function::BitOr | Function::BitXor | Function::ShiftLeft | Function::ShiftRight => Power::Bits,
        _ => Power::Comparison,
    }
}

/// `a > b` is `b < a`.
fn swapped(function: Function, left: Expression, right: Expression) -> Expression {
    match function {
        Function::Greater => Expression::Call(Function::Less, vec![right, left]),
        Function::GreaterEqual => Expression::Call(Function::LessEqual, vec![right, left]),
        function => Expression::Call(function, vec![left, right]),
    }
}

fn is(left: Expression, value: Value) -> Expression {
    Expression::Call(Function::Is, vec![left, Expression::Constant(value)])
}

fn not(inner: Expression) -> Expression {
    Expression::Call(Function::Not, vec![inner])
}

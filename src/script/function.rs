//! Functions and operators of expressions: what there is, what they take, what they give. pgbench(1), "Built-In Functions".

use std::ops::RangeInclusive;

use super::random::{Random, fnv1a, murmur2, permute};
use super::value::{EvalError, Value};

/// A function or operator whose arguments all have a value before it is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Function {
    /// `a + b`
    Add,
    /// `a - b`
    Subtract,
    /// `a * b`
    Multiply,
    /// `a / b`; of integers, without the fraction.
    Divide,
    /// `a % b`, also `mod(a, b)`
    Modulo,
    /// `a = b`
    Equal,
    /// `a <> b`
    NotEqual,
    /// `a < b`
    Less,
    /// `a <= b`
    LessEqual,
    /// `a > b`; read as `b < a`.
    Greater,
    /// `a >= b`; read as `b <= a`.
    GreaterEqual,
    /// `a & b`
    BitAnd,
    /// `a | b`
    BitOr,
    /// `a # b`
    BitXor,
    /// `a << b`
    ShiftLeft,
    /// `a >> b`
    ShiftRight,
    /// `not a`
    Not,
    /// `a is b`
    Is,
    /// `abs(a)`
    Abs,
    /// `debug(a)`: prints its argument.
    Debug,
    /// `double(a)`
    Double,
    /// `exp(a)`
    Exp,
    /// `greatest(a, ...)`
    Greatest,
    /// `hash_fnv1a(a [, seed])`
    HashFnv1a,
    /// `hash_murmur2(a [, seed])`, also `hash`
    HashMurmur2,
    /// `int(a)`
    Int,
    /// `least(a, ...)`
    Least,
    /// `ln(a)`
    Ln,
    /// `permute(a, size [, seed])`
    Permute,
    /// `pi()`
    Pi,
    /// `pow(a, b)`, also `power`
    Pow,
    /// `random(low, high)`
    Random,
    /// `random_exponential(low, high, parameter)`
    RandomExponential,
    /// `random_gaussian(low, high, parameter)`
    RandomGaussian,
    /// `random_zipfian(low, high, parameter)`
    RandomZipfian,
    /// `sqrt(a)`
    Sqrt,
}

const MANY: usize = usize::MAX;

/// Those that are written as a name, with what they take.
const NAMED: [(&str, Function, RangeInclusive<usize>, &str); 21] = [
    ("abs", Function::Abs, 1..=1, "abs(number)"),
    ("debug", Function::Debug, 1..=1, "debug(value)"),
    ("double", Function::Double, 1..=1, "double(number)"),
    ("exp", Function::Exp, 1..=1, "exp(number)"),
    ("greatest", Function::Greatest, 1..=MANY, "greatest(number, ...)"),
    ("hash", Function::HashMurmur2, 1..=2, "hash(value [, seed])"),
    ("hash_fnv1a", Function::HashFnv1a, 1..=2, "hash_fnv1a(value [, seed])"),
    ("hash_murmur2", Function::HashMurmur2, 1..=2, "hash_murmur2(value [, seed])"),
    ("int", Function::Int, 1..=1, "int(number)"),
    ("least", Function::Least, 1..=MANY, "least(number, ...)"),
    ("ln", Function::Ln, 1..=1, "ln(number)"),
    ("mod", Function::Modulo, 2..=2, "mod(integer, integer)"),
    ("permute", Function::Permute, 2..=3, "permute(integer, size [, seed])"),
    ("pi", Function::Pi, 0..=0, "pi()"),
    ("pow", Function::Pow, 2..=2, "pow(base, exponent)"),
    ("power", Function::Pow, 2..=2, "power(base, exponent)"),
    ("random", Function::Random, 2..=2, "random(low, high)"),
    ("random_exponential", Function::RandomExponential, 3..=3, "random_exponential(low, high, parameter)"),
    ("random_gaussian", Function::RandomGaussian, 3..=3, "random_gaussian(low, high, parameter)"),
    ("random_zipfian", Function::RandomZipfian, 3..=3, "random_zipfian(low, high, parameter)"),
    ("sqrt", Function::Sqrt, 1..=1, "sqrt(number)"),
];

impl Function {
    /// The one of this name, in any case.
    pub fn named(name: &str) -> Option<Function> {
        NAMED.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)).map(|(_, function, ..)| *function)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, ..)| *name)
    }

    /// How many arguments it takes.
    pub fn arguments(self) -> RangeInclusive<usize> {
        NAMED.iter().find(|(_, function, ..)| *function == self).map_or(2..=2, |(_, _, arguments, _)| arguments.clone())
    }

    /// How it is written.
    pub fn signature(self) -> &'static str {
        NAMED.iter().find(|(_, function, ..)| *function == self).map_or("", |(.., signature)| signature)
    }

    /// Whether its last argument is a seed that may be left out.
    pub fn is_seeded(self) -> bool {
        matches!(self, Function::HashFnv1a | Function::HashMurmur2 | Function::Permute)
    }

    /// Its value.
    pub fn call(self, arguments: &[Value], random: &mut Random) -> Result<Value, EvalError> {
        let argument = |number: usize| arguments.get(number).copied().unwrap_or_default();
        let (a, b, c) = (argument(0), argument(1), argument(2));
        match self {
            Function::Is => return Ok(Value::Boolean(is(a, b))),
            Function::Debug => {
                eprintln!("debug(script): {}", debugged(a));
                return Ok(a);
            }
            _ if arguments.contains(&Value::Null) => return Ok(Value::Null),
            _ => {}
        }
        Ok(match self {
            Function::Add | Function::Subtract | Function::Multiply | Function::Divide if a.is_double() || b.is_double() => {
                Value::Double(of_doubles(self, a.double()?, b.double()?))
            }
            Function::Add | Function::Subtract | Function::Multiply | Function::Divide | Function::Modulo => {
                Value::Integer(of_integers(self, a.integer()?, b.integer()?)?)
            }
            Function::Equal | Function::NotEqual | Function::Less | Function::LessEqual | Function::Greater | Function::GreaterEqual => {
                Value::Boolean(compared(self, a, b)?)
            }
            Function::BitAnd => Value::Integer(a.integer()? & b.integer()?),
            Function::BitOr => Value::Integer(a.integer()? | b.integer()?),
            Function::BitXor => Value::Integer(a.integer()? ^ b.integer()?),
            // As x86 and ARM do it in pgbench: the count is taken modulo 64.
            Function::ShiftLeft => Value::Integer(a.integer()?.wrapping_shl(b.integer()? as u32)),
            Function::ShiftRight => Value::Integer(a.integer()?.wrapping_shr(b.integer()? as u32)),
            Function::Not => Value::Boolean(!a.boolean()?),
            Function::Abs => match a {
                Value::Double(value) => Value::Double(value.abs()),
                value => Value::Integer(value.integer()?.wrapping_abs()),
            },
            Function::Double => Value::Double(a.double()?),
            Function::Int => Value::Integer(a.integer()?),
            Function::Exp => Value::Double(a.double()?.exp()),
            Function::Ln => Value::Double(a.double()?.ln()),
            Function::Sqrt => Value::Double(a.double()?.sqrt()),
            Function::Pow => Value::Double(a.double()?.powf(b.double()?)),
            Function::Pi => Value::Double(std::f64::consts::PI),
            Function::Greatest => extreme(arguments, i64::max, f64::max)?,
            Function::Least => extreme(arguments, i64::min, f64::min)?,
            Function::HashFnv1a => Value::Integer(fnv1a(a.integer()?, b.integer()?)),
            Function::HashMurmur2 => Value::Integer(murmur2(a.integer()?, b.integer()?)),
            Function::Permute => {
                let size = b.integer()?;
                if size <= 0 {
                    return Err(EvalError::new("permute size parameter must be greater than zero"));
                }
                Value::Integer(permute(a.integer()?, size, c.integer()?))
            }
            Function::Random | Function::RandomExponential | Function::RandomGaussian | Function::RandomZipfian => {
                let (low, high) = (a.integer()?, b.integer()?);
                if low > high {
                    return Err(EvalError::new("empty range given to random"));
                }
                if high.checked_sub(low).and_then(|width| width.checked_add(1)).is_none() {
                    return Err(EvalError::new("random range is too large"));
                }
                Value::Integer(match self {
                    Function::RandomExponential => random.exponential(low, high, c.double()?)?,
                    Function::RandomGaussian => random.gaussian(low, high, c.double()?)?,
                    Function::RandomZipfian => random.zipfian(low, high, c.double()?)?,
                    _ => random.uniform(low, high),
                })
            }
            Function::Is | Function::Debug => Value::Null,
        })
    }
}

/// Whether both are of one kind and equal; two nulls are.
fn is(a: Value, b: Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Boolean(a), Value::Boolean(b)) => a == b,
        (Value::Integer(a), Value::Integer(b)) => a == b,
        (Value::Double(a), Value::Double(b)) => a == b,
        _ => false,
    }
}

fn debugged(value: Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(value) => format!("boolean {value}"),
        Value::Integer(value) => format!("int {value}"),
        Value::Double(_) => format!("double {value}"),
    }
}

fn of_doubles(function: Function, a: f64, b: f64) -> f64 {
    match function {
        Function::Add => a + b,
        Function::Subtract => a - b,
        Function::Multiply => a * b,
        _ => a / b,
    }
}

fn of_integers(function: Function, a: i64, b: i64) -> Result<i64, EvalError> {
    let (result, name) = match function {
        Function::Add => (a.checked_add(b), "add"),
        Function::Subtract => (a.checked_sub(b), "sub"),
        Function::Multiply => (a.checked_mul(b), "mul"),
        _ if b == 0 => return Err(EvalError::new("division by zero")),
        Function::Modulo => (Some(a.wrapping_rem(b)), "mod"),
        _ => (a.checked_div(b), "div"),
    };
    result.ok_or_else(|| EvalError::new(format!("bigint {name} out of range")))
}

fn compared(function: Function, a: Value, b: Value) -> Result<bool, EvalError> {
    let ordering = match a.is_double() || b.is_double() {
        true => a.double()?.partial_cmp(&b.double()?),
        false => Some(a.integer()?.cmp(&b.integer()?)),
    };
    // A NaN is unequal to everything, and neither less nor greater.
    Ok(match function {
        Function::Equal => ordering.is_some_and(|ordering| ordering.is_eq()),
        Function::NotEqual => ordering.is_none_or(|ordering| ordering.is_ne()),
        Function::Less => ordering.is_some_and(|ordering| ordering.is_lt()),
        Function::LessEqual => ordering.is_some_and(|ordering| ordering.is_le()),
        Function::Greater => ordering.is_some_and(|ordering| ordering.is_gt()),
        _ => ordering.is_some_and(|ordering| ordering.is_ge()),
    })
}

/// The largest or smallest of some numbers: a double if any of them is.
fn extreme(arguments: &[Value], of_integers: fn(i64, i64) -> i64, of_doubles: fn(f64, f64) -> f64) -> Result<Value, EvalError> {
    if arguments.iter().any(|value| value.is_double()) {
        let numbers = arguments.iter().map(|value| value.double()).collect::<Result<Vec<_>, _>>()?;
        return Ok(Value::Double(numbers.into_iter().reduce(of_doubles).unwrap_or_default()));
    }
    let numbers = arguments.iter().map(|value| value.integer()).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::Integer(numbers.into_iter().reduce(of_integers).unwrap_or_default()))
}

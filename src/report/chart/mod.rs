//! Charts as inline SVG, drawn by plotters and coloured by the page's style sheet.
//!
//! Each chart is drawn twice, for a wide and for a narrow page, as text must stay readable on both. plotters knows only fixed colours and
//! whole pixels: colours are placeholders that [`Sheet::finish`] turns into CSS classes, so that charts follow light and dark; and a sheet
//! has two units a CSS pixel.

mod blocks;
mod forest;
mod latency;
mod scale;
mod sweep;

use std::ops::Range;

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::{DrawingArea, IntoDrawingArea, IntoTextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, RGBColor, ShapeStyle};

use super::prose::escaped;
use super::words::Tone;
use crate::record::Arm;

pub use blocks::blocks;
pub use forest::forest;
pub use latency::latency;
pub use sweep::sweep;

/// For which page a chart is drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Page {
    /// From 700 px.
    Wide,
    /// Phones.
    Narrow,
}

impl Page {
    fn class(self) -> &'static str {
        match self {
            Page::Wide => "wide",
            Page::Narrow => "narrow",
        }
    }

    fn pick<T>(self, wide: T, narrow: T) -> T {
        match self {
            Page::Wide => wide,
            Page::Narrow => narrow,
        }
    }
}

/// Colours of arms; with more arms than that, some share one.
const COLORS: usize = 8;

/// The number of an arm's colour. The baseline has its own.
pub fn color(arm: Arm) -> usize {
    if arm.is_baseline() { 0 } else { 1 + (arm.place() - 1) % (COLORS - 1) }
}

/// Units a CSS pixel.
const UNITS: i32 = 2;
/// plotters writes text smaller by this factor than it is told.
const TEXT_FACTOR: f64 = 1.24;

/// What a stroke or a shape is of; the style sheet knows the colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Ink {
    Text = 1,
    Muted,
    Grid,
    Axis,
    Arm0,
    Arm1,
    Arm2,
    Arm3,
    Arm4,
    Arm5,
    Arm6,
    Arm7,
    Improved,
    Regressed,
    Unchanged,
    Inconclusive,
    Failed,
    Band,
    Paper,
}

impl Ink {
    const ALL: [Ink; 19] = [
        Ink::Text,
        Ink::Muted,
        Ink::Grid,
        Ink::Axis,
        Ink::Arm0,
        Ink::Arm1,
        Ink::Arm2,
        Ink::Arm3,
        Ink::Arm4,
        Ink::Arm5,
        Ink::Arm6,
        Ink::Arm7,
        Ink::Improved,
        Ink::Regressed,
        Ink::Unchanged,
        Ink::Inconclusive,
        Ink::Failed,
        Ink::Band,
        Ink::Paper,
    ];
    const ARMS: [Ink; COLORS] = [Ink::Arm0, Ink::Arm1, Ink::Arm2, Ink::Arm3, Ink::Arm4, Ink::Arm5, Ink::Arm6, Ink::Arm7];

    fn of_arm(arm: Arm) -> Ink {
        Ink::ARMS[color(arm)]
    }

    fn of(tone: Tone) -> Ink {
        match tone {
            Tone::Improved | Tone::Passed => Ink::Improved,
            Tone::Regressed => Ink::Regressed,
            Tone::Unchanged => Ink::Unchanged,
            Tone::Inconclusive => Ink::Inconclusive,
            Tone::Failed => Ink::Failed,
        }
    }

    fn placeholder(self) -> RGBColor {
        RGBColor(1, 0, self as u8)
    }

    fn name(self) -> &'static str {
        match self {
            Ink::Text => "ink",
            Ink::Muted => "muted",
            Ink::Grid => "grid",
            Ink::Axis => "axis",
            Ink::Arm0 => "arm-0",
            Ink::Arm1 => "arm-1",
            Ink::Arm2 => "arm-2",
            Ink::Arm3 => "arm-3",
            Ink::Arm4 => "arm-4",
            Ink::Arm5 => "arm-5",
            Ink::Arm6 => "arm-6",
            Ink::Arm7 => "arm-7",
            Ink::Improved => "improved",
            Ink::Regressed => "regressed",
            Ink::Unchanged => "unchanged",
            Ink::Inconclusive => "inconclusive",
            Ink::Failed => "failed",
            Ink::Band => "band",
            Ink::Paper => "paper",
        }
    }

    fn stroke(self, width: u32) -> ShapeStyle {
        ShapeStyle { color: self.placeholder().to_rgba(), filled: false, stroke_width: width }
    }

    fn fill(self) -> ShapeStyle {
        self.placeholder().filled()
    }
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug)]
enum Anchor {
    Left,
    Middle,
    Right,
}

impl Anchor {
    fn pos(self) -> Pos {
        match self {
            Anchor::Left => Pos::new(HPos::Left, VPos::Center),
            Anchor::Middle => Pos::new(HPos::Center, VPos::Center),
            Anchor::Right => Pos::new(HPos::Right, VPos::Center),
        }
    }
}

/// Weight of a text.
#[derive(Clone, Copy, Debug)]
enum Weight {
    Normal,
    Bold,
}

/// A point in CSS pixels.
type Px = (f64, f64);

/// A sheet to draw on, in CSS pixels.
struct Sheet<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// An area in data coordinates.
type Plane<'a> = DrawingArea<SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

impl<'a> Sheet<'a> {
    fn new(svg: &'a mut String, (width, height): (i32, i32)) -> Sheet<'a> {
        let size = ((width * UNITS).unsigned_abs(), (height * UNITS).unsigned_abs());
        Sheet { area: SVGBackend::with_string(svg, size).into_drawing_area() }
    }

    /// Data coordinates within the given stretch of CSS pixels; `y` grows upwards.
    fn plane(&self, x: Range<f64>, y: Range<f64>, across: Range<i32>, down: Range<i32>) -> Plane<'a> {
        let pixels = (across.start * UNITS..across.end * UNITS, down.end * UNITS..down.start * UNITS);
        self.area.apply_coord_spec(Cartesian2d::new(x, y, pixels))
    }

    fn line(&self, points: &[Px], ink: Ink, width: u32) -> anyhow::Result<()> {
        let points: Vec<(i32, i32)> = points.iter().map(|point| units(*point)).collect();
        Ok(self.area.draw(&PathElement::new(points, ink.stroke(width)))?)
    }

    fn rect(&self, from: Px, to: Px, ink: Ink) -> anyhow::Result<()> {
        Ok(self.area.draw(&Rectangle::new([units(from), units(to)], ink.fill()))?)
    }

    fn polygon(&self, points: &[Px], ink: Ink) -> anyhow::Result<()> {
        let points: Vec<(i32, i32)> = points.iter().map(|point| units(*point)).collect();
        Ok(self.area.draw(&Polygon::new(points, ink.fill()))?)
    }

    fn dot(&self, at: Px, radius: i32, ink: Ink) -> anyhow::Result<()> {
        Ok(self.area.draw(&Circle::new(units(at), radius, ink.fill()))?)
    }

    /// A ring with paper inside, so that what lies below does not show.
    fn ring(&self, at: Px, radius: i32, ink: Ink) -> anyhow::Result<()> {
        self.area.draw(&Circle::new(units(at), radius, Ink::Paper.fill()))?;
        Ok(self.area.draw(&Circle::new(units(at), radius, ink.stroke(3)))?)
    }

    fn text(&self, at: Px, text: &str, size: f64, ink: Ink, anchor: Anchor, weight: Weight) -> anyhow::Result<()> {
        let style = match weight {
            Weight::Normal => FontStyle::Normal,
            Weight::Bold => FontStyle::Bold,
        };
        let font = ("sans-serif", size * f64::from(UNITS) * TEXT_FACTOR, style);
        let color = ink.placeholder();
        let style = font.into_text_style(&self.area).color(&color).pos(anchor.pos());
        Ok(self.area.draw(&Text::new(text.to_owned(), units(at), style))?)
    }

    fn present(self) -> anyhow::Result<()> {
        Ok(self.area.present()?)
    }
}

fn units((x, y): Px) -> (i32, i32) {
    let unit = |value: f64| libm::round(value * f64::from(UNITS)) as i32;
    (unit(x), unit(y))
}

/// Where a data point lies on the sheet, in CSS pixels.
fn place(plane: &Plane<'_>, x: f64, y: f64) -> Px {
    let (x, y) = plane.map_coordinate(&(x, y));
    (f64::from(x) / f64::from(UNITS), f64::from(y) / f64::from(UNITS))
}

/// Draws a chart and makes it fit for the page: colours become classes, size becomes a view box, and it gets a name to read out.
fn chart(
    page: Page,
    size: (i32, i32),
    title: &str,
    description: &str,
    draw: impl FnOnce(&Sheet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    let sheet = Sheet::new(&mut svg, size);
    draw(&sheet)?;
    sheet.present()?;
    let body = svg.split_once('\n').map_or("", |(_, body)| body);
    // Text content is escaped by the backend and so holds no quotation mark: only attributes can match.
    let mut body = body.replace(" opacity=\"1\"", "").replace(" stroke=\"none\"", "").replace(" font-family=\"sans-serif\"", "");
    body = body.replace(">\n", ">").replace("\n</text>", "</text>").replace(" \"", "\"");
    for ink in Ink::ALL {
        let color = format!("#0100{:02X}", ink as u8);
        body = body.replace(&format!("fill=\"{color}\""), &format!("class=\"f-{}\"", ink.name()));
        body = body.replace(&format!("stroke=\"{color}\""), &format!("class=\"s-{}\"", ink.name()));
    }
    let (width, height) = (size.0 * UNITS, size.1 * UNITS);
    Ok(format!(
        "<svg class=\"chart {}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\"><title>{}</title><desc>{}</desc>\n{}\n",
        page.class(),
        escaped(title),
        escaped(title),
        escaped(description),
        body.trim_end()
    ))
}

/// `text` cut to about `width` CSS pixels at `size`; plotters cannot measure text without a font, so this goes by a mean letter.
fn fitted(text: &str, width: f64, size: f64) -> String {
    let letters = (width / (size * 0.54)).max(4.0) as usize;
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    // The end of a path tells more than its middle.
    let (head, tail) = (letters * 3 / 5, letters - letters * 3 / 5 - 1);
    let characters: Vec<char> = text.chars().collect();
    let start: String = characters.iter().take(head).collect();
    let end: String = characters.iter().skip(characters.len() - tail).collect();
    format!("{start}…{end}")
}

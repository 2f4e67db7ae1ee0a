//! One plot: a line for each instance, thresholds, gaps.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::series::Point;
use super::super::zone::Zone;
use super::axis::TimeAxis;
use crate::units::figure;

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("a plot could not be drawn: {0}")]
pub struct PlotError(String);

/// The colours of lines, which the style sheet exchanges for others on a dark page.
pub(super) const LINES: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xb8, 0x86, 0x0b),
    RGBColor(0x3a, 0xa6, 0xdd),
    RGBColor(0x6a, 0x3d, 0x9a),
    RGBColor(0x7f, 0x7f, 0x7f),
];
const INK: RGBColor = RGBColor(0x44, 0x4b, 0x59);
const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xeb);
const LIMIT: RGBColor = RGBColor(0xb0, 0x00, 0x20);
const GAP: RGBColor = RGBColor(0xc2, 0x8a, 0x1e);

/// What is drawn.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) zone: &'a Zone,
    /// The lines of each instance, which has the colour of its place.
    pub(super) lines: &'a [Vec<Vec<Point>>],
    /// Where nothing was metered.
    pub(super) gaps: &'a [(i64, i64)],
    /// Limits and their names.
    pub(super) limits: &'a [(f64, String)],
    /// Percentages end at 100.
    pub(super) percent: bool,
}

/// The two sizes that plots are drawn in; the style sheet shows one of them.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Wide,
    Narrow,
}

impl Size {
    /// In half pixels, as the library draws at whole numbers.
    const fn pixels(self) -> (u32, u32) {
        match self {
            Self::Wide => (2240, 560),
            Self::Narrow => (760, 480),
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }

    const fn marks(self) -> i64 {
        match self {
            Self::Wide => 12,
            Self::Narrow => 5,
        }
    }
}

impl Plot<'_> {
    /// As an SVG element.
    pub(super) fn svg(&self, size: Size) -> Result<String, PlotError> {
        let mut svg = String::new();
        self.draw(&mut svg, size).map_err(|error| PlotError(error.to_string()))?;
        let title = super::escape(self.title);
        Ok(svg.replacen("<svg ", &format!("<svg class=\"{}\" role=\"img\" aria-label=\"{title}\" ", size.class()), 1))
    }

    fn draw(&self, svg: &mut String, size: Size) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, size.pixels()).into_drawing_area();
        let top = self.top();
        let font = ("sans-serif", 28).into_font().color(&INK);
        let mut chart = ChartBuilder::on(&root)
            .margin_top(24)
            .margin_right(60)
            .margin_left(4)
            .x_label_area_size(52)
            .y_label_area_size(100)
            .build_cartesian_2d(TimeAxis::new(self.start, self.end, size.marks(), self.zone.clone()), 0.0..top)?;
        chart
            .configure_mesh()
            .axis_style(GRID.stroke_width(2))
            .bold_line_style(GRID.stroke_width(2))
            .max_light_lines(0)
            .x_labels(14)
            .y_labels(5)
            .x_label_style(font.clone())
            .y_label_style(font)
            .y_label_formatter(&|value| tick(*value))
            .draw()?;
        #[allow(clippy::cast_precision_loss)]
        chart.draw_series(
            self.gaps
                .iter()
                .map(|(start, end)| Rectangle::new([(*start as f64, 0.0), (*end as f64, top)], GAP.mix(0.22).filled())),
        )?;
        for (lines, colour) in self.lines.iter().zip(LINES.iter().cycle()) {
            for line in lines {
                if let [point] = line.as_slice() {
                    chart.draw_series([Circle::new((point.at, point.value), 4, colour.filled())])?;
                } else {
                    let points = line.iter().map(|point| (point.at, point.value));
                    chart.draw_series(LineSeries::new(points, colour.stroke_width(3)))?;
                }
            }
        }
        self.draw_limits(&mut chart, top)?;
        drop(chart);
        root.present()?;
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn draw_limits<'a>(
        &self,
        chart: &mut ChartContext<'a, SVGBackend<'_>, Cartesian2d<TimeAxis, plotters::coord::types::RangedCoordf64>>,
        top: f64,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (start, end) = (self.start as f64, self.end as f64);
        let mut below = f64::NEG_INFINITY;
        for (value, label) in self.limits.iter().filter(|(value, _)| *value <= top) {
            let ends = [(start, *value), (end, *value)];
            chart.draw_series(LineSeries::new(ends, LIMIT.stroke_width(2)))?;
            // Two labels at one height stand one on the left, one on the right.
            let crowded = value - below < top / 12.0;
            let (at, anchor, move_by) = if crowded { (start, HPos::Left, 8) } else { (end, HPos::Right, -8) };
            below = if crowded { f64::NEG_INFINITY } else { *value };
            let near_top = top - value < top / 10.0;
            let (vertical, down) = if near_top { (VPos::Top, 6) } else { (VPos::Bottom, -6) };
            let style = ("sans-serif", 26).into_font().color(&LIMIT).pos(Pos::new(anchor, vertical));
            chart.draw_series([EmptyElement::at((at, *value)) + Text::new(label.clone(), (move_by, down), style)])?;
        }
        Ok(())
    }

    /// The limits that are too high to be drawn.
    pub(super) fn above(&self) -> Vec<&str> {
        let top = self.top();
        self.limits.iter().filter(|(value, _)| *value > top).map(|(_, label)| label.as_str()).collect()
    }

    /// The highest value of the axis: room over the lines, and limits unless they would flatten them.
    fn top(&self) -> f64 {
        let highest = self.lines.iter().flatten().flatten().fold(0.0f64, |top, point| top.max(point.value));
        let limits = self.limits.iter().map(|(value, _)| *value).filter(|value| *value <= highest * 8.0);
        let top = limits.fold(highest, f64::max) * 1.1;
        let top = if self.percent { top.min(104.0) } else { top };
        if top.is_finite() && top > 0.0 { top } else { 1.0 }
    }
}

/// A value at the axis, as short as it may be.
fn tick(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1e6.. => format!("{value:.1e}"),
        _ => {
            let text = format!("{value:.4}");
            figure(text.parse().unwrap_or(value)).to_string()
        }
    }
}

//! The report as a picture: each row is a line, with the floor, ours and the rival on a scale of time.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::row::{A_CORE_EACH, Row, median};

/// How wide the picture is.
const WIDTH: u32 = 1100;

/// How high a row is.
const ROW_HEIGHT: u32 = 24;

/// The room for the description of a row, before the scale.
const TEXT_WIDTH: u32 = 520;

/// The room for the legend above and the scale below.
const MARGIN_HEIGHT: u32 = 90;

const FLOOR: RGBColor = RGBColor(140, 140, 140);
const OURS: RGBColor = RGBColor(0, 110, 200);
const RIVAL: RGBColor = RGBColor(215, 95, 0);

/// Writes a picture of the rows that are times or rates, as the time for one operation.
pub(crate) fn write_plot(rows: &[Row], path: &Path) -> Result<()> {
    let mut lines: Vec<PlotLine<'_>> = rows.iter().filter_map(PlotLine::of).collect();
    // One measurement may have two rows with different goals.
    lines.dedup_by(|line, before| line.rival_name == before.rival_name && line.points().eq(before.points()));
    if lines.is_empty() {
        return Ok(());
    }
    draw(&lines, path).map_err(|error| anyhow!("drawing {}: {error}", path.display()))
}

/// A row in nanoseconds.
struct PlotLine<'a> {
    what: &'a str,
    pinning: &'a str,
    rival_name: Option<&'a str>,
    floor: Option<f64>,
    ours: f64,
    rival: Option<f64>,
}

impl PlotLine<'_> {
    fn of(row: &Row) -> Option<PlotLine<'_>> {
        let nanoseconds = |values: &[f64]| row.unit.to_nanoseconds(median(values)?);
        let (floor, rival) = (nanoseconds(&row.floor), nanoseconds(&row.rival));
        (floor.is_some() || rival.is_some()).then_some(())?;
        Some(PlotLine {
            what: &row.what,
            pinning: row.pinning,
            rival_name: row.rival_name,
            floor,
            ours: nanoseconds(&row.ours)?,
            rival,
        })
    }

    fn points(&self) -> impl Iterator<Item = f64> {
        [self.floor, Some(self.ours), self.rival].into_iter().flatten()
    }
}

fn draw(lines: &[PlotLine<'_>], path: &Path) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let height = ROW_HEIGHT * lines.len() as u32 + MARGIN_HEIGHT;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let least = lines.iter().flat_map(PlotLine::points).fold(f64::INFINITY, f64::min);
    let most = lines.iter().flat_map(PlotLine::points).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .margin_right(20)
        .margin_top(40)
        .set_label_area_size(LabelAreaPosition::Left, TEXT_WIDTH)
        .set_label_area_size(LabelAreaPosition::Bottom, 40)
        .build_cartesian_2d((least / 2.0..most * 2.0).log_scale(), 0.0..lines.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|nanoseconds| duration(*nanoseconds))
        .label_style(("sans-serif", 12))
        .x_desc("time for one operation")
        .draw()?;

    let mut texts = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let at = lines.len() as f64 - number as f64 - 0.5;
        let (least, most) = line
            .points()
            .fold((f64::INFINITY, 0.0_f64), |(least, most), point| (least.min(point), most.max(point)));
        chart.draw_series([PathElement::new([(least, at), (most, at)], FLOOR.mix(0.4))])?;
        chart.draw_series(line.floor.map(|floor| Circle::new((floor, at), 5, FLOOR.filled())))?;
        chart.draw_series(line.rival.map(|rival| TriangleMarker::new((rival, at), 6, RIVAL.filled())))?;
        chart.draw_series([Circle::new((line.ours, at), 5, OURS.filled())])?;
        let rival = line.rival_name.filter(|_| line.rival.is_some());
        let mut text = [Some(line.what), rival].into_iter().flatten().collect::<Vec<_>>().join("; rival: ");
        if line.pinning == A_CORE_EACH {
            text = format!("{text}; {A_CORE_EACH}");
        }
        texts.push((text, chart.backend_coord(&(least, at)).1));
    }
    let right = Pos::new(HPos::Right, VPos::Center);
    for (text, height) in texts {
        let style = ("sans-serif", 12).into_font().color(&BLACK).pos(right);
        area.draw(&Text::new(text, (TEXT_WIDTH as i32 - 8, height), style))?;
    }
    for (text, color, left) in [("floor", FLOOR, 540), ("ours", OURS, 630), ("rival", RIVAL, 720)] {
        area.draw(&Circle::new((left, 20), 5, color.filled()))?;
        let style = ("sans-serif", 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(text, (left + 10, 20), style))?;
    }
    area.present()?;
    Ok(())
}

/// A time in the unit that suits it.
fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        time if time >= 1e9 => format!("{} s", time / 1e9),
        time if time >= 1e6 => format!("{} ms", time / 1e6),
        time if time >= 1e3 => format!("{} µs", time / 1e3),
        time => format!("{time} ns"),
    }
}

"""Grafana's JSON of a dashboard: the only module that knows its SDK.

The JSON is that of Grafana 12 in the classic schema, which later versions read too. Addresses are fixed (`/d/smtp-gateway-NAME`), so that a
dashboard that is installed again stays the one that was linked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.panels import Look, Unit

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder

    from dashboards.panels import Board, Panel

    Shown = stat.Panel | timeseries.Panel | heatmap.Panel | statetimeline.Panel | table.Panel

TAG = "smtp-gateway"
"""By which the dashboards find each other."""
RUNBOOKS = "docs/runbooks"
"""Where links to runbooks point in the committed files, as in those of the alerts; the chart puts an address in its place."""
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
BY_GATEWAY = "by (namespace, gateway"
"""What a query has whose series are of one gateway each."""
_EVERY = ".+"
_PALETTE = models.FieldColorModeId.PALETTE_CLASSIC


def written(board: Board) -> str:
    """Return *board* as Grafana's JSON. Its link to the others takes along what was chosen where that is one gateway: not each has an "All"."""
    built = (
        builders.Dashboard(board.title)
        .uid(f"{TAG}-{board.name}")
        .description(board.meaning)
        .tags([TAG])
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables(_variables(several=board.several))
        .link(
            builders.DashboardLink("SMTP gateways")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(not board.several)
            .keep_time(True)
        )
    )
    number = 0
    for row in board.rows:
        built.with_row(builders.Row(row.title))
        for panel in row.panels:
            number += 1
            built.with_panel(_panel(panel, number))
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def _variables(*, several: bool) -> list[Builder[models.VariableModel]]:
    """Return what is chosen at the top: a Prometheus, and gateways by namespace and name, of one gateway its pods too."""
    chosen = [
        _variable("namespace", "label_values(smtp_gateway_build_info, namespace)", several=several),
        _variable("gateway", 'label_values(smtp_gateway_build_info{namespace=~"$namespace"}, pod)', several=several).regex("/(.+)-[0-9]+/"),
    ]
    if not several:
        pods = 'label_values(smtp_gateway_build_info{namespace=~"$namespace", pod=~"$gateway-[0-9]+"}, pod)'
        chosen.append(_variable("pod", pods, several=True))
    return [builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"), *chosen]


def _variable(name: str, query: str, *, several: bool) -> builders.QueryVariable:
    built = (
        builders.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
        .multi(several)
        .include_all(several)
    )
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    return built.all_value(_EVERY).current(everything) if several else built


def _panel(panel: Panel, number: int) -> Shown:
    built = _LOOKS[panel.look](panel)
    built.id(number).title(panel.title).description(_description(panel)).datasource(SOURCE)
    built.unit(panel.unit.value).no_value(panel.nothing).span(panel.width).height(panel.height)
    built.targets([_target(panel, place) for place in range(len(panel.queries))])
    steps = [models.Threshold(None, panel.base), *(models.Threshold(step.value, step.color) for step in panel.thresholds)]
    built.color_scheme(builders.FieldColor().mode(_PALETTE if panel.look is Look.LINES else models.FieldColorModeId.THRESHOLDS))
    built.thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.runbook:
        link = builders.DashboardLink(f"Runbook: {panel.runbook}").type(models.DashboardLinkType.LINK)
        built.links([link.url(f"{RUNBOOKS}/{panel.runbook}.md").target_blank(True)])
    if panel.look is not Look.NUMBER and any(BY_GATEWAY in query.expr for query in panel.queries):
        built.data_links([_in_depth(panel)])
    if panel.states:
        words = {str(state.value): models.ValueMappingResult(state.text, state.color) for state in panel.states}
        built.mappings([models.ValueMap(words)])
    return built


def _description(panel: Panel) -> str:
    """Return what *panel* means; the runbook's name too, for readers who have no address of it."""
    return f"{panel.meaning}\n\nRunbook: {panel.runbook}" if panel.runbook else panel.meaning


def _in_depth(panel: Panel) -> builders.DashboardLink:
    """Return where a series, or a row of a table, leads: to the dashboard of the one gateway that it is about."""
    labels = "__data.fields" if panel.look is Look.TABLE else "__field.labels"
    which = f"var-namespace=${{{labels}.namespace}}&var-gateway=${{{labels}.gateway}}&var-datasource=${{datasource}}"
    address = f"/d/{TAG}-gateway?${{__url_time_range}}&{which}"
    return builders.DashboardLink("This gateway in depth").type(models.DashboardLinkType.LINK).url(address)


def _target(panel: Panel, place: int) -> prometheus.Dataquery:
    query = panel.queries[place]
    built = prometheus.Dataquery().ref_id(chr(ord("A") + place)).datasource(SOURCE).expr(query.expr).legend_format(query.legend)
    if panel.look is Look.HEATMAP:
        return built.range().format(PromQueryFormat.HEATMAP)
    return built.instant().format(PromQueryFormat.TABLE) if panel.look is Look.TABLE else built.range()


def _number(panel: Panel) -> Shown:
    graph = BigValueGraphMode.NONE if panel.unit is Unit.STATE else BigValueGraphMode.AREA
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().graph_mode(graph).color_mode(BigValueColorMode.VALUE).reduce_options(last)


def _lines(panel: Panel) -> Shown:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
    built = timeseries.Panel().legend(legend).fill_opacity(10).min(0)
    if panel.stacked:
        built.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
    if panel.thresholds:
        built.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return built


def _heatmap(panel: Panel) -> Shown:
    axis = heatmap.YAxisConfig().unit(panel.unit.value)
    return (
        heatmap.Panel().calculate(False).y_axis(axis).color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges"))
    )


def _states(_: Panel) -> Shown:
    return statetimeline.Panel().merge_values(True)


def _table(panel: Panel) -> Shown:
    """Return a table of labels and the number of one query; of several, of labels alone, with those in one row that agree."""
    values = {f"Value #{chr(ord('A') + place)}": True for place in range(len(panel.queries))}
    hidden = {"Time": True} | (values if len(values) > 1 else {})
    named = {"excludeByName": hidden, "renameByName": {"Value": "number", "Value #A": "number"}}
    merged = table.Panel().show_header(True).with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    return merged.with_transformation(models.DataTransformerConfig(id_val="organize", options=named))


_LOOKS = {Look.NUMBER: _number, Look.LINES: _lines, Look.HEATMAP: _heatmap, Look.STATES: _states, Look.TABLE: _table}

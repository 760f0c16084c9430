"""All addresses of the dashboard."""

from proxy.web.dashboard.pages import live, stop
from proxy.web.dashboard.view_table import ViewTable

VIEWS = ViewTable((*live.VIEWS, *stop.VIEWS))

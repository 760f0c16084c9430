"""All addresses of the dashboard."""

from proxy.web.dashboard.pages import live, people, person, request, requests, routes, stop
from proxy.web.dashboard.view_table import ViewTable

VIEWS = ViewTable(
    (*live.VIEWS, *people.VIEWS, *person.VIEWS, *requests.VIEWS, *request.VIEWS, *routes.VIEWS, *stop.VIEWS)
)

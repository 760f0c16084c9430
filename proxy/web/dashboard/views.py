"""All addresses of the dashboard."""

from proxy.web.dashboard.pages import (
    account,
    alerts,
    audit,
    configuration,
    keys,
    live,
    login,
    model,
    models,
    overview,
    own,
    own_login,
    own_preferences,
    people,
    person,
    playground,
    projection,
    request,
    requests,
    routes,
    sessions,
    stop,
)
from proxy.web.dashboard.view_table import ViewTable

VIEWS = ViewTable(
    (
        *account.VIEWS,
        *alerts.VIEWS,
        *audit.VIEWS,
        *configuration.VIEWS,
        *keys.VIEWS,
        *live.VIEWS,
        *login.VIEWS,
        *overview.VIEWS,
        *model.VIEWS,
        *models.VIEWS,
        *own.VIEWS,
        *own_login.VIEWS,
        *own_preferences.VIEWS,
        *people.VIEWS,
        *person.VIEWS,
        *playground.VIEWS,
        *projection.VIEWS,
        *request.VIEWS,
        *requests.VIEWS,
        *routes.VIEWS,
        *sessions.VIEWS,
        *stop.VIEWS,
    )
)

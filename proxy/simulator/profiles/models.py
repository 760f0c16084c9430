"""How a profile lists its models. Pure."""

from typing import Any

import orjson

from proxy.simulator.profiles.profile import Profile, ProfileListing, ProfileModel


def listing_body(profile: Profile) -> bytes:
    """Return the body of GET /models of a profile that has one."""
    items = [_item(profile.listing, row) for row in profile.models]
    return orjson.dumps(items if profile.listing.form == "array" else {"object": "list", "data": items})


def _item(listing: ProfileListing, row: ProfileModel) -> dict[str, Any]:
    item: dict[str, Any] = {"id": listing.prefix + row.id, **listing.more}
    if listing.context is not None:
        outer, dot, inner = listing.context.partition(".")
        item[outer] = {**item.get(outer, {}), inner: row.context} if dot else row.context
    return item

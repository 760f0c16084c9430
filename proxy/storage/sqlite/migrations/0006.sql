-- What a dollar cost in the local currency, and since when: a new rate holds for what begins from then on, and leaves what
-- was shown of the past as it was. Each rate begins with a full hour, as the roll-up does; the first of a currency holds for
-- all that was before.

CREATE TABLE rates (
    code TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    usd_rate TEXT NOT NULL,
    PRIMARY KEY (code, from_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO rates
SELECT c.value, 0, r.value FROM meta c JOIN meta r ON r.name = 'currency_usd_rate' WHERE c.name = 'currency_code';

PRAGMA user_version = 6;

-- What the warehouse keeps. Keys, checkpoints and messages are in tables of sqlstore beside these.

CREATE TABLE IF NOT EXISTS warehouse (
    schema INTEGER NOT NULL,           -- of the tables below
    rules  TEXT    NOT NULL DEFAULT '' -- by which its input is read; others would leave products that contradict
) STRICT;

-- An invoice line is known by where it stands in its file.
CREATE TABLE IF NOT EXISTS invoice_line (
    line        TEXT    PRIMARY KEY,
    invoice     TEXT    NOT NULL,
    code        TEXT    NOT NULL,       -- as the file says
    sku         TEXT    NOT NULL,       -- as the warehouse says: see -fold-case
    description TEXT    NOT NULL,
    quantity    INTEGER NOT NULL,       -- below zero for a return
    at          TEXT    NOT NULL,
    unit_price  INTEGER NOT NULL,       -- in ten-thousandths
    customer    TEXT    NOT NULL,
    country     TEXT    NOT NULL,
    class       TEXT    NOT NULL        -- sale, return, or why it is not stock
) STRICT;

CREATE INDEX IF NOT EXISTS invoice_line_by_sku ON invoice_line (sku, class, at, line);

-- The catalogue that the invoice lines give. Only sales and returns count. The latest description and price win, by
-- date and then by place in the file; a description without a letter ("?") never does. A product opens with what four
-- of its average lines move (returns count against sales), rounded up. If more came back than was sold that would be
-- below zero: it opens at zero, and says by how much it was clamped.
CREATE VIEW IF NOT EXISTS catalogue_of_lines AS
WITH moved AS (
    SELECT sku, sum(quantity) AS net, count(*) AS lines
    FROM invoice_line WHERE class IN ('sale', 'return') GROUP BY sku
)
SELECT sku,
    coalesce((SELECT l.description FROM invoice_line l
              WHERE l.sku = moved.sku AND l.class IN ('sale', 'return') AND l.description GLOB '*[A-Za-z]*'
              ORDER BY l.at DESC, l.line DESC LIMIT 1), sku) AS description,
    (SELECT l.unit_price FROM invoice_line l
     WHERE l.sku = moved.sku AND l.class IN ('sale', 'return')
     ORDER BY l.at DESC, l.line DESC LIMIT 1) AS unit_price,
    max(0, (4 * net + lines - 1) / lines) AS opening,
    max(0, -(4 * net / lines)) AS clamped
FROM moved;

-- Stock is never stored beside what it follows from: it is opening - reserved, and the check keeps it from falling
-- below zero whoever writes.
CREATE TABLE IF NOT EXISTS product (
    sku         TEXT    PRIMARY KEY,
    description TEXT    NOT NULL,
    unit_price  INTEGER NOT NULL CHECK (unit_price >= 0),
    opening     INTEGER NOT NULL,
    reserved    INTEGER NOT NULL DEFAULT 0,
    orders      INTEGER NOT NULL DEFAULT 0, -- reservations so far: the number of the last one
    CHECK (0 <= reserved AND reserved <= opening)
) STRICT;

-- No unique index on id, on purpose: that a reservation applies once is the promise of the idempotency key, and the
-- check at the end must be able to see it broken.
CREATE TABLE IF NOT EXISTS reservation (
    n        INTEGER PRIMARY KEY,
    id       TEXT    NOT NULL,
    sku      TEXT    NOT NULL REFERENCES product (sku),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    number   INTEGER NOT NULL,              -- 1 for the product's first reservation, 2 for its second
    at       TEXT    NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS reservation_by_sku ON reservation (sku);
CREATE INDEX IF NOT EXISTS reservation_by_id ON reservation (id);

-- What a forecast found, written together with how far it has come. No unique index, on purpose: that a job's page
-- takes effect once is the promise of its fence, and the check at the end must be able to see it broken.
CREATE TABLE IF NOT EXISTS forecast (
    n        INTEGER PRIMARY KEY,
    job      TEXT    NOT NULL,
    sku      TEXT    NOT NULL,
    level    INTEGER NOT NULL,              -- expected in a week, in thousandths of a piece
    safety   INTEGER NOT NULL,
    reorder  INTEGER NOT NULL,              -- order when no more than these are left
    quantity INTEGER NOT NULL               -- order so many now
) STRICT;

CREATE INDEX IF NOT EXISTS forecast_by_sku ON forecast (sku, job);
CREATE INDEX IF NOT EXISTS forecast_by_job ON forecast (job, sku);

-- The forecasts that are whole; the last one counts.
CREATE TABLE IF NOT EXISTS forecast_done (
    n   INTEGER PRIMARY KEY,
    job TEXT    NOT NULL,
    at  TEXT    NOT NULL
) STRICT;

CREATE VIEW IF NOT EXISTS forecast_now AS
SELECT sku, reorder, quantity FROM forecast WHERE job = (SELECT job FROM forecast_done ORDER BY n DESC LIMIT 1);

-- What the org is told of each product.
CREATE VIEW IF NOT EXISTS product_for_org AS
SELECT sku, description, unit_price, opening - reserved AS stock,
    coalesce((SELECT quantity FROM forecast_now f WHERE f.sku = product.sku), 0) AS to_order
FROM product;

-- What the subscribers inside this program did with each event, in the transaction in which they did it. No unique
-- index, for the same reason: that an event takes effect once is the promise of the inbox.
CREATE TABLE IF NOT EXISTS seen (
    n           INTEGER PRIMARY KEY,
    subscriber  TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    reservation TEXT    NOT NULL,
    sku         TEXT    NOT NULL,
    number      INTEGER NOT NULL
) STRICT;

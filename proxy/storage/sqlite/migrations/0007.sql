-- Limits may count images. What a request holds of them, and those that it took beyond what the provider counted, which
-- limits count too. NULL: it has nothing to do with images, as nearly all; such columns are written by statements of their own.

ALTER TABLE requests ADD COLUMN reserved_images INTEGER CHECK (reserved_images >= 0);     -- by each attempt
ALTER TABLE requests ADD COLUMN uncounted_images INTEGER CHECK (uncounted_images >= 0);   -- beside images

ALTER TABLE usage_hourly ADD COLUMN uncounted_images INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 7;

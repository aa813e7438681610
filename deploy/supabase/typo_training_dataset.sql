-- The table in which corrections arrive, who may do what with it, and row-level security.
--
--   Supabase:        paste it into the SQL editor, or  psql "$SUPABASE_DB_URL" -f deploy/supabase/typo_training_dataset.sql
--   plain Postgres:  the same; roles that Supabase brings and that are missing are made.
--
-- It can be run again. Its owner must be the one who runs it.

begin;

do $$
begin
    if not exists (select from pg_roles where rolname = 'anon') then
        create role anon nologin noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'authenticated') then
        create role authenticated nologin noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'service_role') then
        create role service_role nologin noinherit bypassrls;
    end if;
    -- For the pipeline, when it reads by SUPABASE_DB_URL:  grant automend_reader to <its user>;
    if not exists (select from pg_roles where rolname = 'automend_reader') then
        create role automend_reader nologin;
    end if;
end
$$;

-- What is empty, too long or contradictory is let in and refused with a reason when a version is made; the limits
-- here only keep somebody from filling the disk.
--
-- id: nobody but the sequence gives ids, one at a time (cache 1). The sensor relies on it: whoever writes later has a
-- higher id.
-- created_at: clock_timestamp() is the moment of the row, now() would be the beginning of its transaction.
create table if not exists public.typo_training_dataset (
    id bigint generated always as identity primary key,
    typo text not null check (char_length(typo) <= 10000),
    corrected text not null check (char_length(corrected) <= 10000),
    domain text not null check (char_length(domain) <= 1000),
    created_at timestamptz not null default clock_timestamp()
);

-- The margin of the sensor over HTTP asks for the newest rows that are old enough.
create index if not exists typo_training_dataset_created_at on public.typo_training_dataset (created_at);

alter table public.typo_training_dataset enable row level security;

-- Supabase gives every right on new tables to its API's roles; here they may add a correction and nothing else.
revoke all on public.typo_training_dataset from public, anon, authenticated, service_role;
grant usage on schema public to anon, authenticated, service_role, automend_reader;
grant insert (typo, corrected, domain) on public.typo_training_dataset to anon, authenticated;
grant select, delete on public.typo_training_dataset to service_role;
grant insert (typo, corrected, domain) on public.typo_training_dataset to service_role;
grant select on public.typo_training_dataset to automend_reader;

drop policy if exists "anybody may report a correction" on public.typo_training_dataset;
create policy "anybody may report a correction" on public.typo_training_dataset
    for insert to anon, authenticated with check (true);

drop policy if exists "the pipeline reads everything" on public.typo_training_dataset;
create policy "the pipeline reads everything" on public.typo_training_dataset
    for select to automend_reader using (true);

-- PostgREST keeps the schema in memory.
notify pgrst, 'reload schema';

commit;

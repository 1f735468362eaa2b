--
-- PostgreSQL database dump
--

\restrict x
SET statement_timeout = 0;

--
-- TOC entry 6 (class 2615 OID 16385)
-- Name: s; Type: SCHEMA; Schema: -; Owner: me
--

CREATE SCHEMA s;


ALTER SCHEMA s OWNER TO me;

SET default_table_access_method = heap;

--
-- TOC entry 215 (class 1259 OID 16386)
-- Dependencies: 6
-- Name: t; Type: TABLE; Schema: s; Owner: me
--

CREATE TABLE s.t (
    a text DEFAULT E'\'x' /* c */,
    "b"";" integer
);

--
-- TOC entry 300 (class 1255 OID 16390)
-- Name: f(); Type: FUNCTION; Schema: s; Owner: me
--

CREATE FUNCTION s.f() RETURNS integer LANGUAGE sql AS $_$ SELECT ';' -- '
 $_$;

--
-- PostgreSQL database dump complete
--

\unrestrict x

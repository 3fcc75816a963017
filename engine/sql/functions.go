package sql

import "strings"

// Function is what the engine's catalog says about a function's name.
type Function struct {
	Scalar    bool // callable in expressions; aggregates are too
	Table     bool // callable in FROM
	Aggregate bool
	Unstable  bool     // one of its overloads need not give the same value twice
	Calls     []string // of a macro: the names in its definition
}

const (
	hintTime   = "pass a partition, as $day, or read the time from an input"
	hintRandom = "derive it from the data, as in hash(id)"
	hintState  = "a result may depend on nothing but inputs and the partition; pass what varies as an input"
	hintApprox = "use the exact function"
	hintFile   = "declare the file as an input of the target and select from the input's name"
)

// denied are functions whose value does not follow from their arguments alone, and those that reach out of the statement. The engine's own flags miss
// some of them, so the list holds all that are known.
var denied = index(map[string]string{
	hintTime: `ago current_date current_localtime current_localtimestamp current_time current_timestamp get_current_time get_current_timestamp
		localtime localtimestamp now pg_conf_load_time pg_postmaster_start_time today transaction_timestamp`,
	hintRandom: `gen_random_uuid random setseed uuid uuidv4 uuidv7`,
	hintState: `current_catalog current_connection_id current_database current_query current_query_id current_role current_schema
		current_schemas current_setting current_transaction_id current_user currval finalize combine get_block_size getenv getvariable
		in_search_path json_serialize_plan nextval session_user sleep_ms stats txid_current user vector_type version which_secret write_log
		cast_to_type can_cast_implicitly format_type map_to_pg_oid format_pg_type inet_client_addr inet_client_port inet_server_addr inet_server_port
		col_description obj_description shobj_description is_histogram_other_bin parse_duckdb_log_message`,
	hintApprox: `approx_count_distinct approx_quantile approx_top_k reservoir_quantile list_approx_count_distinct`,
	hintFile: `arrow_scan arrow_scan_dumb glob parquet_scan query query_table read_blob read_csv read_csv_auto read_duckdb read_json read_json_auto read_json_objects
		read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_parquet read_text seq_scan sniff_csv`,
})

// better names the exact function for an approximate one.
var better = map[string]string{
	"approx_count_distinct": "use count(DISTINCT …), which is exact", "list_approx_count_distinct": "use len(list_distinct(…)), which is exact",
	"approx_quantile": "use quantile_cont or quantile_disc, which are exact", "reservoir_quantile": "use quantile_cont or quantile_disc, which are exact",
	"approx_top_k": "count with GROUP BY, and use ORDER BY and LIMIT, which is exact",
}

// deniedPrefixes are families of functions about the engine and not about data.
var deniedPrefixes = []string{"pg_", "has_", "duckdb_", "pragma_", "parquet_", "icu_collate_", "__internal_", "test_"}

// valueNames are calls without parentheses. A statement's tree shows them like columns, with or without quotes.
var valueNames = set(`current_catalog current_date current_role current_schema current_time current_timestamp current_user localtime localtimestamp
	session_user user`)

// tableFunctions may stand in FROM.
var tableFunctions = set(`range generate_series unnest repeat repeat_row json_each json_tree`)

// syntaxFunctions are made by the parser and stand in no catalog.
var syntaxFunctions = set(`unnest unlist grouping grouping_id row struct_pack struct_extract_at error`)

// windowOnly are functions that need OVER, with whether their value changes when rows that tie in its order change places.
var windowOnly = map[string]bool{
	"row_number": true, "ntile": true, "lag": true, "lead": true, "first_value": true, "last_value": true, "nth_value": true, "fill": true,
	"rank": false, "rank_dense": false, "dense_rank": false, "percent_rank": false, "cume_dist": false,
}

// exact are aggregates whose value does not depend on the order in which rows come, whatever their types.
var exact = set(`bit_and bit_or bit_xor bitstring_agg bool_and bool_or count count_if count_star countif histogram histogram_exact mad max median min
	quantile quantile_cont quantile_disc regr_count sum_no_overflow`)

// exactOnIntegers are aggregates that are exact if their argument is an integer.
var exactOnIntegers = set(`sum avg mean`)

// listAggregates call the aggregate that their second argument names.
var listAggregates = set(`list_aggr list_aggregate array_aggr array_aggregate aggregate`)

// collectors make a list of their argument's values; sorters put a list's elements in an order that follows from them alone.
var (
	collectors = set(`list array_agg`)
	sorters    = set(`list_sort array_sort list_reverse_sort array_reverse_sort`)
)

func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

func index(groups map[string]string) map[string]string {
	m := map[string]string{}
	for hint, names := range groups {
		for _, n := range strings.Fields(names) {
			m[n] = hint
		}
	}
	return m
}

// refusal is why a function may not be called, as a hint; ok is false if it may.
func refusal(name string, functions map[string]Function) (hint string, ok bool) {
	if hint, ok := better[name]; ok {
		return hint, true
	}
	if hint, ok := denied[name]; ok {
		return hint, true
	}
	for _, p := range deniedPrefixes {
		if strings.HasPrefix(name, p) {
			return hintState, true
		}
	}
	f := functions[name]
	if f.Unstable && name != "error" { // error fails, and does so each time
		return hintState, true
	}
	for _, called := range f.Calls {
		if called != name && (functions[called].Unstable && called != "error" || denied[called] != "") {
			hint, _ := refusal(called, functions)
			return hint, true
		}
	}
	return "", false
}

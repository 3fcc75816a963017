package openlineage

import (
	"encoding/json"
	"path"
)

// Facets are what is said of a run, a job or a dataset, each by its name.
type Facets map[string]Facet

// Facet is one kind of what is said.
type Facet interface {
	// facet gives the name under which it stands, and its published schema: version and name.
	facet() (name, schema string)
	sign(producer, schema string)
}

// With adds facets.
func (f *Facets) With(list ...Facet) {
	if *f == nil {
		*f = Facets{}
	}
	for _, x := range list {
		name, _ := x.facet()
		(*f)[name] = x
	}
}

func (f Facets) sign(producer string) {
	for _, x := range f {
		_, schema := x.facet()
		x.sign(producer, spec+"facets/"+schema+".json#/$defs/"+path.Base(schema))
	}
}

// base is what all facets hold.
type base struct {
	Producer  string `json:"_producer"`
	SchemaURL string `json:"_schemaURL"`
}

func (b *base) sign(producer, schema string) { b.Producer, b.SchemaURL = producer, schema }

// Parent is the run that started this one.
type Parent struct {
	base
	Run Run `json:"run"`
	Job Job `json:"job"`
}

func (*Parent) facet() (string, string) { return "parent", "1-2-0/ParentRunFacet" }

// NominalTime is the interval that a run is for; the end does not belong to it.
type NominalTime struct {
	base
	Start string `json:"nominalStartTime"`
	End   string `json:"nominalEndTime"`
}

func (*NominalTime) facet() (string, string) { return "nominalTime", "1-0-1/NominalTimeRunFacet" }

// Engine is what computes.
type Engine struct {
	base
	Name    string `json:"name"`
	Version string `json:"version"`
	Adapter string `json:"openlineageAdapterVersion"`
}

func (*Engine) facet() (string, string) { return "processing_engine", "1-1-1/ProcessingEngineRunFacet" }

// ErrorMessage is why a run failed.
type ErrorMessage struct {
	base
	Message  string `json:"message"`
	Language string `json:"programmingLanguage"`
}

func (*ErrorMessage) facet() (string, string) { return "errorMessage", "1-0-1/ErrorMessageRunFacet" }

// Tags of a run: what is said of it and has no facet of its own.
type Tags struct {
	base
	Tags []Tag `json:"tags"`
}

// Tag is a name with its value.
type Tag struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

func (*Tags) facet() (string, string) { return "tags", "1-0-0/TagsRunFacet" }

// JobType says what kind of job it is.
type JobType struct {
	base
	Processing  string `json:"processingType"` // BATCH
	Integration string `json:"integration"`
	Type        string `json:"jobType"`
}

func (*JobType) facet() (string, string) { return "jobType", "2-0-4/JobTypeJobFacet" }

// SQL is what a job evaluates.
type SQL struct {
	base
	Query   string `json:"query"`
	Dialect string `json:"dialect"`
}

func (*SQL) facet() (string, string) { return "sql", "1-1-0/SQLJobFacet" }

// SourceCode is where the code of a job lies.
type SourceCode struct {
	base
	Type    string `json:"type"` // git
	URL     string `json:"url"`
	RepoURL string `json:"repoUrl"`
	Path    string `json:"path"`
	Version string `json:"version"`
}

func (*SourceCode) facet() (string, string) {
	return "sourceCodeLocation", "1-1-0/SourceCodeLocationJobFacet"
}

// Owner of a job or dataset.
type Owner struct {
	Name string `json:"name"` // team:royalties
	Type string `json:"type"`
}

// JobOwners are who can act on a job.
type JobOwners struct {
	base
	Owners []Owner `json:"owners"`
}

func (*JobOwners) facet() (string, string) { return "ownership", "1-0-1/OwnershipJobFacet" }

// DatasetOwners are who can act on a dataset.
type DatasetOwners struct {
	base
	Owners []Owner `json:"owners"`
}

func (*DatasetOwners) facet() (string, string) { return "ownership", "1-0-1/OwnershipDatasetFacet" }

// JobDocumentation is what people say of a job.
type JobDocumentation struct {
	base
	Description string `json:"description"`
}

func (*JobDocumentation) facet() (string, string) {
	return "documentation", "1-1-0/DocumentationJobFacet"
}

// DatasetDocumentation is what people say of a dataset.
type DatasetDocumentation struct {
	base
	Description string `json:"description"`
}

func (*DatasetDocumentation) facet() (string, string) {
	return "documentation", "1-1-0/DocumentationDatasetFacet"
}

// Version is which content a dataset had.
type Version struct {
	base
	Version string `json:"datasetVersion"`
}

func (*Version) facet() (string, string) { return "version", "1-0-1/DatasetVersionDatasetFacet" }

// Schema lists the columns of a table.
type Schema struct {
	base
	Fields []Field `json:"fields"`
}

// Field is a column.
type Field struct {
	Name     string `json:"name"`
	Type     string `json:"type,omitempty"`
	Position int    `json:"ordinal_position"` // from 1
}

func (*Schema) facet() (string, string) { return "schema", "1-2-0/SchemaDatasetFacet" }

// Subset says which partitions a run read or wrote.
type Subset struct {
	base
	Input  *Partitions `json:"inputCondition,omitempty"` // one of both
	Output *Partitions `json:"outputCondition,omitempty"`
}

// Partitions of a dataset.
type Partitions struct {
	Type       string      `json:"type"` // partition
	Partitions []Partition `json:"partitions"`
}

// Partition is one, by its values.
type Partition struct {
	Identifier string            `json:"identifier"`
	Dimensions map[string]string `json:"dimensions"`
}

func (s *Subset) facet() (string, string) { return "subset", "1-0-0/BaseSubsetDatasetFacet" }

// Statistics are the size of what a run read or wrote; nil is unknown.
type Statistics struct {
	Rows  *int64 `json:"rowCount,omitempty"`
	Size  *int64 `json:"size,omitempty"` // bytes
	Files *int64 `json:"fileCount,omitempty"`
}

// InputStatistics are those of what a run read.
type InputStatistics struct {
	base
	Statistics
}

func (*InputStatistics) facet() (string, string) {
	return "inputStatistics", "1-0-0/InputStatisticsInputDatasetFacet"
}

// OutputStatistics are those of what a run wrote.
type OutputStatistics struct {
	base
	Statistics
}

func (*OutputStatistics) facet() (string, string) {
	return "outputStatistics", "1-0-2/OutputStatisticsOutputDatasetFacet"
}

// Quality is what was measured of a table.
type Quality struct {
	Rows    int64                    `json:"rowCount"`
	Bytes   int64                    `json:"bytes"`
	Files   int64                    `json:"fileCount"`
	Columns map[string]ColumnQuality `json:"columnMetrics"`
}

// ColumnQuality is what was measured of a column. What are no numbers has no Min, Max and Quantiles.
type ColumnQuality struct {
	Nulls     int64                  `json:"nullCount"`
	Distinct  int64                  `json:"distinctCount"`
	Count     int64                  `json:"count"` // of values
	Min       *json.Number           `json:"min,omitempty"`
	Max       *json.Number           `json:"max,omitempty"`
	Quantiles map[string]json.Number `json:"quantiles,omitempty"`
}

// InputQuality is what was measured of what a run read.
type InputQuality struct {
	base
	Quality
}

func (*InputQuality) facet() (string, string) {
	return "dataQualityMetrics", "1-0-3/DataQualityMetricsInputDatasetFacet"
}

// DatasetQuality is what was measured of what a run wrote.
type DatasetQuality struct {
	base
	Quality
}

func (*DatasetQuality) facet() (string, string) {
	return "dataQualityMetrics", "1-0-0/DataQualityMetricsDatasetFacet"
}

// Assertions are what the rules on a dataset came to.
type Assertions struct {
	base
	Assertions []Assertion `json:"assertions"`
}

// Assertion is one rule.
type Assertion struct {
	Kind        string `json:"assertion"`
	Name        string `json:"name"`
	Success     bool   `json:"success"`
	Severity    string `json:"severity"` // error, which holds, or warn
	Description string `json:"description,omitempty"`
	Expected    string `json:"expected,omitempty"`
	Actual      string `json:"actual,omitempty"`
	Content     string `json:"content,omitempty"`
	ContentType string `json:"contentType,omitempty"`
}

func (*Assertions) facet() (string, string) {
	return "dataQualityAssertions", "1-1-0/DataQualityAssertionsDatasetFacet"
}

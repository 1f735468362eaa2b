// Unlogged batches of prepared inserts, by gocql, from CSV files: what a program in Go that loads a cluster looks like.
//
// Usage: gocql_batches HOST:PORT KEYSPACE ROWS_A_BATCH WORKERS CONNECTIONS FILE...
//
// A file's name begins with its table's name and a dot. Workers share the files' rows; each keeps one batch on its way.
// Prints the rows and the seconds between the first row read and the last batch acknowledged.
package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/cassandra-gocql-driver/v2"
	"gopkg.in/inf.v0"
)

// A table's columns, with what makes a value of a field that is not empty.
type column struct {
	name  string
	value func(string) (any, error)
}

func number32(s string) (any, error) { n, err := strconv.ParseInt(s, 10, 32); return int32(n), err }
func number64(s string) (any, error) { return strconv.ParseInt(s, 10, 64) }
func text(s string) (any, error)     { return s, nil }
func truth(s string) (any, error)    { return s == "t", nil }
func moment(s string) (any, error)   { return time.Parse("2006-01-02 15:04:05.999-07", s) }
func decimal(s string) (any, error) {
	d, ok := new(inf.Dec).SetString(s)
	if !ok {
		return nil, fmt.Errorf("%q is no number", s)
	}
	return d, nil
}

var tables = map[string][]column{
	"accounts": {{"aid", number32}, {"bid", number32}, {"abalance", number32}, {"filler", text}},
	"orders": {{"id", number64}, {"customer", number32}, {"placed", moment}, {"total", decimal}, {"status", text},
		{"paid", truth}, {"address", text}, {"note", text}},
}

func statement(keyspace, table string) string {
	var names, marks []string
	for _, c := range tables[table] {
		names, marks = append(names, c.name), append(marks, "?")
	}
	return fmt.Sprintf("INSERT INTO %s.%s (%s) VALUES (%s)", keyspace, table, strings.Join(names, ", "), strings.Join(marks, ", "))
}

type chunk struct {
	table string
	rows  [][]string
}

func read(path string, size int, into chan<- chunk) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	table, _, _ := strings.Cut(filepath.Base(path), ".")
	in := csv.NewReader(file)
	for {
		c := chunk{table: table}
		for len(c.rows) < size {
			row, err := in.Read()
			if err == io.EOF {
				if len(c.rows) > 0 {
					into <- c
				}
				return nil
			}
			if err != nil {
				return err
			}
			c.rows = append(c.rows, row)
		}
		into <- c
	}
}

func write(session *gocql.Session, keyspace string, c chunk) error {
	batch := session.Batch(gocql.UnloggedBatch)
	stmt := statement(keyspace, c.table)
	for _, row := range c.rows {
		values := make([]any, len(row))
		for i, field := range row {
			if field == "" {
				values[i] = gocql.UnsetValue
				continue
			}
			v, err := tables[c.table][i].value(field)
			if err != nil {
				return err
			}
			values[i] = v
		}
		batch.Query(stmt, values...)
	}
	return batch.Exec()
}

func main() {
	if len(os.Args) < 7 {
		log.Fatal("usage: gocql_batches HOST:PORT KEYSPACE ROWS_A_BATCH WORKERS CONNECTIONS FILE...")
	}
	keyspace := os.Args[2]
	size, _ := strconv.Atoi(os.Args[3])
	workers, _ := strconv.Atoi(os.Args[4])
	connections, _ := strconv.Atoi(os.Args[5])
	cluster := gocql.NewCluster(os.Args[1])
	cluster.Consistency = gocql.LocalQuorum
	cluster.NumConns = connections
	cluster.Timeout, cluster.ConnectTimeout = time.Minute, time.Minute
	cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
	session, err := cluster.CreateSession()
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	begun := time.Now()
	chunks := make(chan chunk, 2*workers)
	var rows int64
	var lock sync.Mutex
	var readers, writers sync.WaitGroup
	paths := make(chan string, len(os.Args))
	for _, path := range os.Args[6:] {
		paths <- path
	}
	close(paths)
	for range 2 {
		readers.Go(func() {
			for path := range paths {
				if err := read(path, size, chunks); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	for range workers {
		writers.Go(func() {
			mine := int64(0)
			for c := range chunks {
				if err := write(session, keyspace, c); err != nil {
					log.Fatal(err)
				}
				mine += int64(len(c.rows))
			}
			lock.Lock()
			rows += mine
			lock.Unlock()
		})
	}
	readers.Wait()
	close(chunks)
	writers.Wait()
	fmt.Printf("%d %.3f\n", rows, time.Since(begun).Seconds())
}

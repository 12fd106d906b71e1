import java.io.*;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.*;
import org.postgresql.largeobject.*;
import org.postgresql.util.*;

/** What drivers do, with JDBC. Prints the same whether it talks to PostgreSQL or to something before it. */
public class Jdbc {
  interface Section { void run(Connection connection) throws Exception; }

  static final Set<String> NEED_EXTENDED = Set.of("metadata", "fetch size", "call");

  static final String[][] LITERALS = {
    {"int2", "-32768"}, {"int4", "2147483647"}, {"int8", "9223372036854775807"}, {"numeric", "-1.50"},
    {"numeric", "NaN"}, {"float4", "1.5"}, {"float8", "NaN"}, {"float8", "-Infinity"}, {"bool", "t"}, {"text", ""},
    {"text", "O'Reilly \\ \"x\""}, {"text", "漢字 🐘 e\u0301"}, {"bytea", "\\x00ff10"}, {"date", "2000-01-01"},
    {"time", "23:59:59.999"}, {"timestamp", "1999-12-31 23:59:59.999999"}, {"timestamptz", "2024-02-29 12:00:00+05:30"},
    {"interval", "1 day -01:02:03.5"}, {"uuid", "12345678-1234-5678-1234-567812345678"}, {"json", "{\"a\": [1, null]}"},
    {"jsonb", "[]"}, {"int4[]", "{1,NULL,3}"}, {"int4[]", "{{1,2},{3,4}}"}, {"text[]", "{a,\"b c\",NULL,\"\"}"},
    {"int4range", "[1,5)"}, {"mood", "happy ☺"}, {"pair", "(1,\"a b\")"},
  };

  public static void main(String[] arguments) throws Exception {
    System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
    Map<String, Section> sections = new LinkedHashMap<>();
    sections.put("types", Jdbc::types);
    sections.put("metadata", Jdbc::metadata);
    sections.put("prepared", Jdbc::prepared);
    sections.put("changed tables", Jdbc::changedTables);
    sections.put("batches", Jdbc::batches);
    sections.put("fetch size", Jdbc::fetchSize);
    sections.put("errors", Jdbc::errors);
    sections.put("transactions", Jdbc::transactions);
    sections.put("copy", Jdbc::copy);
    sections.put("notifications", Jdbc::notifications);
    sections.put("cancellation", Jdbc::cancellation);
    sections.put("large objects", Jdbc::largeObjects);
    sections.put("fast path", Jdbc::fastPath);
    sections.put("call", Jdbc::call);
    sections.put("session state", Jdbc::sessionState);
    sections.put("large values", Jdbc::largeValues);
    for (String mode : List.of("extended", "simple", "extendedForPrepared")) {
      try (Connection connection = connect(Map.of("preferQueryMode", mode))) {
        for (var section : sections.entrySet()) {
          if (mode.equals("simple") && NEED_EXTENDED.contains(section.getKey())) continue;
          if (mode.equals("extendedForPrepared") && section.getKey().startsWith("large")) continue;
          System.out.println("## " + section.getKey() + ", " + mode);
          try {
            section.getValue().run(connection);
          } catch (Exception error) {
            System.out.println("!! " + error);
            if (!connection.getAutoCommit()) connection.rollback();
            connection.setAutoCommit(true);
          }
        }
        run(connection, "DROP TABLE IF EXISTS bulk, batched, changing");
      }
    }
  }

  static Connection connect(Map<String, String> more) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", System.getenv("PGUSER"));
    properties.setProperty("password", System.getenv("PGPASSWORD"));
    properties.setProperty("sslmode", "disable");
    properties.putAll(more);
    String address = System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
    return DriverManager.getConnection("jdbc:postgresql://" + address, properties);
  }

  static String text(Object value) throws SQLException {
    if (value instanceof byte[] bytes) return HexFormat.of().formatHex(bytes, 0, Math.min(bytes.length, 50));
    if (value instanceof java.sql.Array array) return array.toString();
    return String.valueOf(value);
  }

  static void show(Object... things) throws SQLException {
    List<String> texts = new ArrayList<>();
    for (Object thing : things) texts.add(text(thing));
    System.out.println(String.join("  ", texts));
  }

  static List<List<String>> rows(ResultSet results) throws SQLException {
    List<List<String>> rows = new ArrayList<>();
    while (results.next()) {
      List<String> row = new ArrayList<>();
      for (int column = 1; column <= results.getMetaData().getColumnCount(); column++) row.add(text(results.getObject(column)));
      rows.add(row);
    }
    return rows;
  }

  static List<List<String>> ask(Connection connection, String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int at = 0; at < values.length; at++) statement.setObject(at + 1, values[at]);
      try (ResultSet results = statement.executeQuery()) {
        return rows(results);
      }
    }
  }

  static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
      for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning())
        System.out.println("warning " + warning.getSQLState() + " " + warning.getMessage());
    }
  }

  static void attempt(Callable<Object> what) throws Exception {
    try {
      show(what.call());
    } catch (BatchUpdateException error) {
      System.out.println("batch failed " + error.getSQLState() + " " + Arrays.toString(error.getUpdateCounts()));
    } catch (PSQLException error) {
      ServerErrorMessage message = error.getServerErrorMessage();
      if (message == null) System.out.println("error " + error.getSQLState() + " " + error.getMessage());
      else
        System.out.println("error " + Arrays.asList(message.getSeverity(), message.getSQLState(), message.getMessage(), message.getDetail(),
            message.getHint(), message.getPosition(), message.getWhere(), message.getSchema(), message.getTable(), message.getColumn(),
            message.getDatatype(), message.getConstraint()));
    }
  }

  static void types(Connection connection) throws Exception {
    for (String[] literal : LITERALS) {
      String sql = "SELECT ?::text::" + literal[0] + " AS v";
      try (PreparedStatement statement = connection.prepareStatement(sql)) {
        // The driver changes to a named statement and to binary results on the way.
        Set<String> seen = new LinkedHashSet<>();
        for (int again = 0; again < 8; again++) {
          statement.setString(1, literal[1]);
          try (ResultSet results = statement.executeQuery()) {
            results.next();
            try {
              seen.add(text(results.getObject(1)));
            } catch (SQLException error) {
              seen.add(error.getMessage());
            }
          }
        }
        show(literal[0], seen);
      }
    }
    show(ask(connection, "SELECT CAST(? AS int), CAST(? AS numeric), CAST(? AS timestamptz), CAST(? AS uuid)", 5, new BigDecimal("1.50"),
        Timestamp.valueOf("2000-01-01 00:00:00"), UUID.fromString("12345678-1234-5678-1234-567812345678")));
    show(ask(connection, "SELECT NULL::int, NULL::text"), ask(connection, "SELECT 1 WHERE false"));
    show(ask(connection, "SELECT ?", connection.createArrayOf("int4", new Integer[] {1, null})));
  }

  static void metadata(Connection connection) throws Exception {
    try (PreparedStatement statement = connection.prepareStatement("SELECT id, name AS n, price FROM item WHERE id = ?")) {
      ResultSetMetaData columns = statement.getMetaData();
      for (int at = 1; at <= columns.getColumnCount(); at++)
        show(columns.getColumnLabel(at), columns.getColumnTypeName(at), columns.getPrecision(at), columns.getScale(at), columns.isNullable(at));
      show(statement.getParameterMetaData().getParameterTypeName(1), ask(connection, "SELECT ?", new byte[] {0, (byte) 255}));
    }
    try (ResultSet keys = connection.getMetaData().getPrimaryKeys(null, "public", "item")) {
      while (keys.next()) show(keys.getString("COLUMN_NAME"), keys.getString("PK_NAME"));
    }
    show(connection.getMetaData().getDatabaseProductVersion().startsWith("15."));
  }

  static void prepared(Connection connection) throws Exception {
    try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int + 1")) {
      int sum = 0;
      for (int n = 0; n < 50; n++) {
        statement.setInt(1, n);
        try (ResultSet results = statement.executeQuery()) {
          results.next();
          sum += results.getInt(1);
        }
      }
      show(sum);
      attempt(() -> { statement.setString(1, "not a number"); return rows(statement.executeQuery()); });
    }
    int sum = 0;
    for (int n = 0; n < 300; n++)  // more than the driver keeps
      for (int again = 0; again < 6; again++) sum += Integer.parseInt(ask(connection, "SELECT " + n + " + ?::int", 1).get(0).get(0));
    show(sum);
  }

  static void changedTables(Connection connection) throws Exception {
    run(connection, "CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)");
    try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM changing")) {
      for (int again = 0; again < 7; again++) rows(statement.executeQuery());
      run(connection, "ALTER TABLE changing ADD b int DEFAULT 2");
      attempt(() -> rows(statement.executeQuery()));
      attempt(() -> rows(statement.executeQuery()));
      connection.setAutoCommit(false);
      for (int again = 0; again < 7; again++) rows(statement.executeQuery());
      run(connection, "ALTER TABLE changing DROP b");
      attempt(() -> rows(statement.executeQuery()));
      connection.rollback();
      connection.setAutoCommit(true);
    }
  }

  static void batches(Connection connection) throws Exception {
    run(connection, "CREATE TABLE batched (a int PRIMARY KEY, b text)");
    connection.setAutoCommit(false);
    try (PreparedStatement statement = connection.prepareStatement("INSERT INTO batched VALUES (?, ?)")) {
      for (int n = 0; n < 1500; n++) {
        statement.setInt(1, n);
        statement.setString(2, "row " + n);
        statement.addBatch();
      }
      show(Arrays.stream(statement.executeBatch()).sum());
      connection.commit();
      for (int n = 1495; n < 1510; n++) {
        statement.setInt(1, n == 1499 ? 1 : n + 1000);
        statement.setString(2, "x");
        statement.addBatch();
      }
      attempt(statement::executeBatch);
      connection.rollback();
    }
    try (PreparedStatement statement = connection.prepareStatement("INSERT INTO item (name) VALUES (?) RETURNING name", Statement.RETURN_GENERATED_KEYS)) {
      for (String name : List.of("k1", "k2")) {
        statement.setString(1, name);
        statement.addBatch();
      }
      statement.executeBatch();
      show(rows(statement.getGeneratedKeys()));
    }
    connection.rollback();
    connection.setAutoCommit(true);
    try (Statement statement = connection.createStatement()) {
      statement.addBatch("INSERT INTO batched VALUES (9001, 'a')");
      statement.addBatch("SELECT 1/0");
      statement.addBatch("INSERT INTO batched VALUES (9002, 'b')");
      attempt(statement::executeBatch);
    }
    show(ask(connection, "SELECT count(*) FROM batched"));
  }

  static void fetchSize(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    try (PreparedStatement statement = connection.prepareStatement("SELECT n, repeat('x', 20) FROM generate_series(1, ?) n")) {
      statement.setFetchSize(13);
      statement.setInt(1, 200);
      long sum = 0;
      try (ResultSet results = statement.executeQuery()) {
        while (results.next()) {
          sum += results.getInt(1);
          if (results.getInt(1) == 50) show(ask(connection, "SELECT 'between'"));
        }
      }
      show(sum);
      statement.setMaxRows(5);
      show(rows(statement.executeQuery()).size());
    }
    try (PreparedStatement statement = connection.prepareStatement("SELECT 10 / (30 - n) FROM generate_series(1, 100) n")) {
      statement.setFetchSize(7);
      attempt(() -> rows(statement.executeQuery()));
    }
    connection.rollback();
    connection.setAutoCommit(true);
  }

  static void errors(Connection connection) throws Exception {
    for (String sql : List.of("SELECT 1/0", "SELEC", "SELECT * FROM missing", "INSERT INTO item (name) VALUES ('one')", "INSERT INTO part VALUES (99)",
             "INSERT INTO item (name, price) VALUES ('n', -1)", "SELECT 3::even"))
      attempt(() -> { run(connection, sql); return "?"; });
    for (String state : List.of("22012", "40001", "23505", "57014", "XX000", "ZZ999")) attempt(() -> ask(connection, "SELECT fail_with(?)", state));
    attempt(() -> { run(connection, "SELECT 1; SELECT 1/0; SELECT 2"); return "?"; });
    run(connection, "DO $$BEGIN RAISE WARNING 'careful'; END$$");
    run(connection, "SELECT shout('hey')");
    show(ask(connection, "SELECT 'alive'"));
  }

  static void transactions(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    run(connection, "INSERT INTO item (name) VALUES ('gone')");
    Savepoint savepoint = connection.setSavepoint("a");
    attempt(() -> ask(connection, "SELECT 1/0"));
    attempt(() -> ask(connection, "SELECT 1"));
    connection.rollback(savepoint);
    show(ask(connection, "SELECT count(*) FROM item"));
    connection.rollback();
    show(ask(connection, "SELECT count(*) FROM item"));
    connection.rollback();
    connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    connection.setReadOnly(true);
    show(ask(connection, "SHOW transaction_isolation"), ask(connection, "SHOW transaction_read_only"));
    connection.rollback();
    connection.setReadOnly(false);
    connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
    connection.setAutoCommit(true);
  }

  static void copy(Connection connection) throws Exception {
    run(connection, "CREATE TABLE bulk (a int, b text)");
    CopyManager manager = connection.unwrap(PGConnection.class).getCopyAPI();
    StringBuilder data = new StringBuilder();
    for (int n = 0; n < 5000; n++) data.append(n).append("\trow\n");
    show(manager.copyIn("COPY bulk FROM STDIN", new StringReader(data.toString())));
    StringWriter out = new StringWriter();
    show(manager.copyOut("COPY bulk TO STDOUT", out), out.toString().length());
    attempt(() -> manager.copyIn("COPY bulk FROM STDIN", new StringReader("bad\n")));
    attempt(() -> manager.copyOut("COPY (SELECT 1 / (n - 3) FROM generate_series(1, 5) n) TO STDOUT", new StringWriter()));
    CopyIn copyIn = manager.copyIn("COPY bulk FROM STDIN");
    copyIn.writeToCopy("1\tx\n".getBytes(), 0, 4);
    copyIn.cancelCopy();
    show(ask(connection, "SELECT count(*) FROM bulk"));
  }

  static void notifications(Connection connection) throws Exception {
    run(connection, "LISTEN news");
    try (Connection other = connect(Map.of())) {
      run(other, "NOTIFY news, 'hello'");
    }
    var heard = connection.unwrap(PGConnection.class).getNotifications(10_000);
    for (var notification : heard) show(notification.getName(), notification.getParameter());
    run(connection, "UNLISTEN *");
  }

  static void cancellation(Connection connection) throws Exception {
    ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    try (Statement statement = connection.createStatement()) {
      timer.schedule(() -> { statement.cancel(); return null; }, 300, TimeUnit.MILLISECONDS);
      attempt(() -> rows(statement.executeQuery("SELECT pg_sleep(20)")));
      statement.setQueryTimeout(1);
      attempt(() -> rows(statement.executeQuery("SELECT pg_sleep(20)")));
    } finally {
      timer.shutdown();
    }
    run(connection, "SET statement_timeout = 50");
    attempt(() -> ask(connection, "SELECT pg_sleep(20)"));
    run(connection, "RESET statement_timeout");
    show(ask(connection, "SELECT 'after'"));
  }

  static void largeObjects(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    LargeObjectManager manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
    long oid = manager.createLO();
    LargeObject object = manager.open(oid, LargeObjectManager.READWRITE);
    byte[] block = new byte[100_000];
    for (int n = 0; n < 20; n++) object.write(block);
    object.seek(1_999_990);
    show(object.tell64(), object.read(20).length);
    object.close();
    manager.delete(oid);
    connection.commit();
    connection.setAutoCommit(true);
  }

  static void fastPath(Connection connection) throws Exception {
    var fastpath = connection.unwrap(PGConnection.class).getFastpathAPI();
    fastpath.addFunction("lo_creat", 957);
    connection.setAutoCommit(false);
    show(fastpath.getOID("lo_creat", new org.postgresql.fastpath.FastpathArg[] {new org.postgresql.fastpath.FastpathArg(0x60000)}) > 0);
    connection.rollback();
    connection.setAutoCommit(true);
  }

  static void sessionState(Connection connection) throws Exception {
    run(connection, "SET TIME ZONE 'Asia/Tokyo'");
    show(ask(connection, "SELECT current_setting('TimeZone'), (timestamptz '2000-01-01 00:00Z')::text"));
    run(connection, "SET application_name = 'jdbc'");
    show(ask(connection, "SHOW application_name"), connection.getClientInfo("ApplicationName"));
    connection.setSchema("pg_catalog");
    attempt(() -> ask(connection, "SELECT count(*) FROM item"));
    run(connection, "RESET ALL");
    run(connection, "CREATE TEMP TABLE own AS SELECT 1 AS a");
    show(ask(connection, "SELECT * FROM own"));
    run(connection, "DROP TABLE own");
    show(ask(connection, "SELECT pg_try_advisory_lock(3)"), ask(connection, "SELECT pg_advisory_unlock(3)"));
  }

  static void call(Connection connection) throws Exception {
    try (CallableStatement call = connection.prepareCall("{? = call shout(?)}")) {
      call.registerOutParameter(1, Types.VARCHAR);
      call.setString(2, "call");
      call.execute();
      show(call.getString(1));
    }
  }

  static void largeValues(Connection connection) throws Exception {
    show(ask(connection, "SELECT length(?)", "x".repeat(10_000_000)));
    show(ask(connection, "SELECT repeat('y', 10000000)").get(0).get(0).length());
    show(ask(connection, "SELECT n, repeat('z', 100) FROM generate_series(1, 50000) n").size());
  }
}

package dev.countersign.ejbca;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import jakarta.servlet.DispatcherType;
import jakarta.xml.ws.Endpoint;
import java.io.ByteArrayInputStream;
import java.io.FileReader;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.CertificateEncodingException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.cxf.BusFactory;
import org.apache.cxf.transport.servlet.CXFNonSpringServlet;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.SecureRequestCustomizer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.SslConnectionFactory;
import org.eclipse.jetty.servlet.FilterHolder;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;
import org.eclipse.jetty.util.ssl.SslContextFactory;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

/**
 * The server: a file of properties (certificate, key and clientCA, PEM; host, port and controlPort where they are not to be any of the loopback
 * interface) is its argument. Says `ready port=… control=…` once both ports answer.
 */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) throws Exception {
    // For keys and signatures that the JDK knows by other names.
    Security.addProvider(new BouncyCastleProvider());
    Properties settings = new Properties();
    try (FileReader reader = new FileReader(arguments[0])) {
      settings.load(reader);
    }
    Authority root = Authority.make("Root", -1000, "EC", "CN=Double Root CA,O=Example", null);
    Map<String, Authority> authorities = new LinkedHashMap<>();
    for (Authority ca :
        new Authority[] {
          Authority.make("CorpRSA", -1001, "RSA", "CN=Double RSA CA,OU=Issuing\\, too,O=Example", root),
          Authority.make("CorpEC", -1002, "EC", "CN=Double EC CA,OU=Issuing\\, too,O=Example", root)
        }) authorities.put(ca.name, ca);
    Registry registry = new Registry();
    AtomicReference<Behaviour> behaviour = new AtomicReference<>(new Behaviour(Map.of()));
    RawFilter filter = new RawFilter(behaviour::get);
    Enrolment enrolment = new Enrolment(authorities, registry);
    EjbcaService service = new EjbcaService(authorities, registry, behaviour::get, enrolment);
    RestServlet rest = new RestServlet(authorities, registry, behaviour::get, enrolment);
    int port = serve(settings, filter, service, rest);
    String rootPem = pem(root.chain.get(0));
    int control = control(settings, new Control(behaviour, registry, filter, rootPem));
    System.out.println("ready port=" + port + " control=" + control);
    Thread.currentThread().join();
  }

  private static int serve(Properties settings, RawFilter filter, EjbcaService service, RestServlet rest)
      throws Exception {
    Server server = new Server(new QueuedThreadPool(48, 4));
    SslContextFactory.Server ssl = new SslContextFactory.Server();
    ssl.setKeyStore(keyStore(settings));
    ssl.setKeyStorePassword("");
    ssl.setTrustStore(trustStore(settings));
    ssl.setNeedClientAuth(true);
    HttpConfiguration https = new HttpConfiguration();
    https.addCustomizer(new SecureRequestCustomizer(false));
    ServerConnector connector =
        new ServerConnector(server, 1, 1, new SslConnectionFactory(ssl, "http/1.1"), new HttpConnectionFactory(https));
    connector.setHost(host(settings));
    connector.setPort(number(settings, "port"));
    server.addConnector(connector);
    ServletContextHandler handler = new ServletContextHandler();
    handler.setContextPath("/ejbca");
    CXFNonSpringServlet servlet = new CXFNonSpringServlet();
    handler.addFilter(new FilterHolder(filter), "/*", EnumSet.of(DispatcherType.REQUEST));
    handler.addServlet(new ServletHolder(servlet), "/ejbcaws/*");
    handler.addServlet(new ServletHolder(rest), "/ejbca-rest-api/*");
    server.setHandler(handler);
    server.start();
    BusFactory.setDefaultBus(servlet.getBus());
    Endpoint.publish("/ejbcaws", service);
    return connector.getLocalPort();
  }

  private static String host(Properties settings) {
    return settings.getProperty("host", InetAddress.getLoopbackAddress().getHostAddress());
  }

  /** 0, which is any, where there is none. */
  private static int number(Properties settings, String name) {
    return Integer.parseInt(settings.getProperty(name, "0"));
  }

  private static KeyStore keyStore(Properties settings) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    byte[] der = Base64.getMimeDecoder().decode(settings.getProperty("key").replaceAll("-----[^-]+-----", ""));
    PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der));
    Certificate[] chain = certificates(settings.getProperty("certificate"));
    store.setKeyEntry("server", key, new char[0], chain);
    return store;
  }

  private static KeyStore trustStore(Properties settings) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    store.setCertificateEntry("ca", certificates(settings.getProperty("clientCA"))[0]);
    return store;
  }

  private static Certificate[] certificates(String pem) throws Exception {
    ByteArrayInputStream bytes = new ByteArrayInputStream(pem.getBytes(StandardCharsets.UTF_8));
    return CertificateFactory.getInstance("X.509").generateCertificates(bytes).toArray(new Certificate[0]);
  }

  static String pem(X509Certificate certificate) {
    try {
      String text = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(certificate.getEncoded());
      return "-----BEGIN CERTIFICATE-----\n" + text + "\n-----END CERTIFICATE-----\n";
    } catch (CertificateEncodingException e) {
      throw new IllegalStateException(e);
    }
  }

  record Control(AtomicReference<Behaviour> behaviour, Registry registry, RawFilter filter, String root) {}

  /** Orders of the test: /behave?name=value&…, and what it asks: /state, /requests, /root. */
  private static int control(Properties settings, Control subject) throws Exception {
    InetSocketAddress address = new InetSocketAddress(host(settings), number(settings, "controlPort"));
    HttpServer control = HttpServer.create(address, 0);
    control.setExecutor(Executors.newCachedThreadPool());
    control.createContext("/behave", exchange -> {
      subject.behaviour().set(new Behaviour(query(exchange)));
      reply(exchange, "");
    });
    control.createContext("/root", exchange -> reply(exchange, subject.root()));
    control.createContext("/requests", exchange ->
        reply(exchange, "[" + String.join(",", subject.filter().bodies().stream().map(Json::quote).toList()) + "]"));
    control.createContext("/state", exchange -> {
      try {
        reply(exchange, subject.registry().json());
      } catch (Exception e) {
        throw new IOException(e);
      }
    });
    control.start();
    return control.getAddress().getPort();
  }

  private static Map<String, String> query(HttpExchange exchange) {
    Map<String, String> settings = new HashMap<>();
    String query = exchange.getRequestURI().getRawQuery();
    for (String part : (query == null ? "" : query).split("&")) {
      int equals = part.indexOf('=');
      if (equals > 0)
        settings.put(part.substring(0, equals), URLDecoder.decode(part.substring(equals + 1), StandardCharsets.UTF_8));
    }
    return settings;
  }

  private static void reply(HttpExchange exchange, String text) throws IOException {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(200, bytes.length == 0 ? -1 : bytes.length);
    if (bytes.length > 0) exchange.getResponseBody().write(bytes);
    exchange.close();
  }
}

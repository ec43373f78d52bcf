package dev.countersign.ejbca;

import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ReadListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletInputStream;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.zip.GZIPOutputStream;
import org.eclipse.jetty.server.HttpChannel;
import org.eclipse.jetty.server.Request;

/** Before the service: keeps what it is asked, and answers in its place what no service should. */
public final class RawFilter implements Filter {
  private static final int KEPT = 64;
  private static final String ENVELOPE = "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>";
  private static final String END = "</soap:Body></soap:Envelope>";

  private final Supplier<Behaviour> behaviour;
  private final List<String> bodies = new ArrayList<>();

  public RawFilter(Supplier<Behaviour> behaviour) {
    this.behaviour = behaviour;
  }

  public synchronized List<String> bodies() {
    return new ArrayList<>(bodies);
  }

  private synchronized void keep(String body) {
    bodies.add(body);
    if (bodies.size() > KEPT) bodies.remove(0);
  }

  /** Ends the connection without an answer. */
  public static void close(HttpServletRequest request) {
    HttpChannel channel = Request.getBaseRequest(request).getHttpChannel();
    channel.getEndPoint().close();
  }

  @Override
  public void doFilter(ServletRequest given, ServletResponse answer, FilterChain chain) throws IOException, ServletException {
    HttpServletRequest request = (HttpServletRequest) given;
    HttpServletResponse response = (HttpServletResponse) answer;
    Behaviour now = behaviour.get();
    if (now.is("away")) {
      close(request);
      return;
    }
    if (!request.getMethod().equals("POST")) {
      chain.doFilter(given, answer);
      return;
    }
    boolean isRest = request.getRequestURI().startsWith("/ejbca/ejbca-rest-api/");
    // CXF takes SOAP 1.1 by any name; Metro, of older versions, does not.
    String wanted = isRest ? "application/json" : "text/xml";
    if (!String.valueOf(request.getContentType()).matches(wanted + "( *;.*)?")) {
      response.sendError(415);
      return;
    }
    byte[] body = request.getInputStream().readAllBytes();
    String text = new String(body, StandardCharsets.UTF_8);
    boolean isSigning = isRest ? request.getRequestURI().endsWith("/pkcs10enroll") : text.contains("certificateRequest");
    if (isSigning) keep(text);
    if (isSigning && now.is("mute")) hang();
    else if (isSigning && now.is("status")) status(response, now);
    else if (isSigning && now.is("raw") && isRest) rawRest(request, response, now.text("what"));
    else if (isSigning && now.is("raw")) raw(request, response, now.text("what"));
    else chain.doFilter(new Body(request, body), answer);
  }

  private static void hang() {
    try {
      Thread.sleep(120_000);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void status(HttpServletResponse response, Behaviour now) throws IOException {
    response.setStatus(now.number("status", 503));
    if (!now.text("retryAfter").isEmpty()) response.setHeader("Retry-After", now.text("retryAfter"));
    response.setContentType("text/html");
    response.getWriter().write("<html><body>This is not what you asked for.</body></html>");
  }

  /** What no REST interface should answer. */
  private static void rawRest(HttpServletRequest request, HttpServletResponse response, String what) throws IOException {
    response.setStatus(201);
    response.setContentType("application/json");
    switch (what) {
      case "no json" -> response.getWriter().write("{\"certificate\": ");
      case "deep" -> response.getWriter().write("[".repeat(400_000));
      case "key twice" -> response.getWriter().write("{\"certificate\":\"AAAA\",\"certificate\":\"BBBB\",\"response_format\":\"DER\"}");
      case "list" -> response.getWriter().write("[]");
      case "no certificate" -> response.getWriter().write("{\"serial_number\":\"1\",\"response_format\":\"DER\"}");
      case "certificate of another type" -> response.getWriter().write("{\"certificate\":7,\"response_format\":\"DER\"}");
      case "another format" -> response.getWriter().write("{\"certificate\":\"AAAA\",\"response_format\":\"JKS\"}");
      case "broken base64" -> response.getWriter().write("{\"certificate\":\"!!!\",\"response_format\":\"DER\"}");
      case "a thousand certificates" ->
          response.getWriter().write("{\"certificate\":\"AAAA\",\"response_format\":\"DER\",\"certificate_chain\":["
              + "\"AAAA\",".repeat(1000) + "\"AAAA\"]}");
      default -> raw(request, response, what);
    }
  }

  private static void raw(HttpServletRequest request, HttpServletResponse response, String what) throws IOException {
    response.setContentType("text/xml;charset=UTF-8");
    String data = "<r:certificateRequestResponse xmlns:r=\"http://ws.protocol.core.ejbca.org/\"><return>%s</return></r:certificateRequestResponse>";
    switch (what) {
      case "html" -> {
        response.setContentType("text/html");
        response.getWriter().write("<html><script>alert(1)</script></html>");
      }
      case "huge" -> {
        response.setContentLength(100 * 1024 * 1024);
        spaces(response.getOutputStream(), 100 * 1024 * 1024);
      }
      case "endless" -> spaces(response.getOutputStream(), Long.MAX_VALUE);
      case "gzip" -> {
        response.setHeader("Content-Encoding", "gzip");
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(packed)) {
          gzip.write((ENVELOPE + END).getBytes(StandardCharsets.UTF_8));
        }
        response.getOutputStream().write(packed.toByteArray());
      }
      case "redirect" -> {
        response.setStatus(307);
        response.setHeader("Location", "https://127.0.0.1:" + request.getLocalPort() + "/elsewhere");
      }
      case "doctype bomb" -> {
        StringBuilder bomb = new StringBuilder("<!DOCTYPE x [<!ENTITY a0 \"aaaaaaaaaa\">");
        for (int i = 1; i < 10; i++) bomb.append("<!ENTITY a" + i + " \"" + ("&a" + (i - 1) + ";").repeat(10) + "\">");
        response.getWriter().write(bomb + "]>" + ENVELOPE + "<x>&a9;</x>" + END);
      }
      case "external entity" ->
          response.getWriter().write("<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]>" + ENVELOPE + "<x>&f;</x>" + END);
      case "not xml" -> response.getWriter().write(ENVELOPE + "<x>");
      case "deep" -> response.getWriter().write(ENVELOPE + "<x>".repeat(100_000) + "</x>".repeat(100_000) + END);
      case "another operation" ->
          response.getWriter().write(ENVELOPE + "<r:pkcs10RequestResponse xmlns:r=\"http://ws.protocol.core.ejbca.org/\"/>" + END);
      case "no certificate" -> response.getWriter().write(ENVELOPE + String.format(data, "") + END);
      case "broken base64" -> response.getWriter().write(ENVELOPE + String.format(data, "<data>!!!</data>") + END);
      case "broken pkcs7" ->
          response.getWriter().write(ENVELOPE + String.format(data, "<data>TUlJQgpNSUlC</data>") + END);
      case "cut" -> {
        response.setContentLength(1000);
        response.getOutputStream().write(ENVELOPE.getBytes(StandardCharsets.UTF_8));
        response.flushBuffer();
        close(request);
      }
      default -> throw new IllegalArgumentException(what);
    }
  }

  private static void spaces(OutputStream out, long length) throws IOException {
    byte[] chunk = " ".repeat(65_536).getBytes(StandardCharsets.UTF_8);
    try {
      for (long left = length; left > 0; left -= chunk.length) out.write(chunk, 0, (int) Math.min(left, chunk.length));
    } catch (IOException e) {
      // The client has had enough.
    }
  }

  private static final class Body extends HttpServletRequestWrapper {
    private final ByteArrayInputStream bytes;

    Body(HttpServletRequest request, byte[] body) {
      super(request);
      bytes = new ByteArrayInputStream(body);
    }

    @Override
    public ServletInputStream getInputStream() {
      return new ServletInputStream() {
        @Override
        public int read() {
          return bytes.read();
        }

        @Override
        public boolean isFinished() {
          return bytes.available() == 0;
        }

        @Override
        public boolean isReady() {
          return true;
        }

        @Override
        public void setReadListener(ReadListener listener) {
          throw new UnsupportedOperationException();
        }
      };
    }
  }
}

package dev.countersign.ejbca;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.countersign.ejbca.ws.Faults;
import dev.countersign.ejbca.ws.UserDataVOWS;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.math.BigInteger;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.Extensions;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;

/**
 * "REST Certificate Management" of EJBCA, what of it enrols, revokes and shows CAs. Subject and names are those of the CSR; nearly every error
 * is a 400 with a text. Members that are not known, of another type or there twice are refused.
 */
public final class RestServlet extends HttpServlet {
  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
          .build();
  private static final List<String> REASONS =
      List.of("UNSPECIFIED", "KEY_COMPROMISE", "CA_COMPROMISE", "AFFILIATION_CHANGED", "SUPERSEDED",
          "CESSATION_OF_OPERATION", "CERTIFICATE_HOLD", "", "REMOVE_FROM_CRL", "PRIVILEGES_WITHDRAWN", "AA_COMPROMISE");

  /** Body of pkcs10enroll. */
  public static final class Enrol {
    @JsonProperty("certificate_request") public String request;
    @JsonProperty("certificate_profile_name") public String certificateProfile;
    @JsonProperty("end_entity_profile_name") public String endEntityProfile;
    @JsonProperty("certificate_authority_name") public String authority;
    @JsonProperty("username") public String username;
    @JsonProperty("password") public String password;
    @JsonProperty("include_chain") public boolean includeChain;
    @JsonProperty("email") public String email;
    @JsonProperty("account_binding_id") public String accountBinding;
  }

  private static final class RestFault extends Exception {
    final int status;

    RestFault(int status, String message) {
      super(message);
      this.status = status;
    }
  }

  private final Map<String, Authority> authorities;
  private final Registry registry;
  private final Supplier<Behaviour> behaviour;
  private final Enrolment enrolment;

  public RestServlet(
      Map<String, Authority> authorities, Registry registry, Supplier<Behaviour> behaviour, Enrolment enrolment) {
    this.authorities = authorities;
    this.registry = registry;
    this.behaviour = behaviour;
    this.enrolment = enrolment;
  }

  @Override
  protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
    try {
      answer(request, response);
    } catch (RestFault fault) {
      Map<String, Object> body = new LinkedHashMap<>();
      body.put("error_code", fault.status);
      body.put("error_message", fault.getMessage());
      write(response, fault.status, body);
    }
  }

  private void answer(HttpServletRequest request, HttpServletResponse response) throws IOException, RestFault {
    Behaviour now = behaviour.get();
    if (now.is("disabled")) throw new RestFault(403, "This service has been disabled.");
    try {
      Enrolment.authorize(request);
    } catch (Faults.AuthorizationDenied denied) {
      throw new RestFault(403, denied.getMessage());
    }
    List<String> steps = new ArrayList<>();
    String path = request.getRequestURI().substring("/ejbca/ejbca-rest-api".length());
    for (String step : path.split("/"))
      if (!step.isEmpty()) steps.add(URLDecoder.decode(step.replace("+", "%2B"), StandardCharsets.UTF_8));
    String what = request.getMethod() + " " + String.join("/", steps.subList(0, Math.min(2, steps.size())));
    switch (what) {
      case "GET v1/certificate" -> {
        if (steps.size() != 3 || !steps.get(2).equals("status")) throw new RestFault(404, "HTTP 404 Not Found");
        write(response, 200, Map.of("status", "OK", "version", "1.0", "revision", "EJBCA 8.2.0.1 Community (double)"));
      }
      case "POST v1/certificate" -> {
        if (steps.size() != 3 || !steps.get(2).equals("pkcs10enroll")) throw new RestFault(404, "HTTP 404 Not Found");
        enrol(request, response, now);
      }
      case "PUT v1/certificate" -> {
        if (steps.size() != 5 || !steps.get(4).equals("revoke")) throw new RestFault(404, "HTTP 404 Not Found");
        revoke(request, response, steps.get(2), steps.get(3));
      }
      case "GET v1/ca" -> authorities(response, steps, now);
      default -> throw new RestFault(404, "HTTP 404 Not Found");
    }
  }

  private void authorities(HttpServletResponse response, List<String> steps, Behaviour now) throws IOException, RestFault {
    // As before EJBCA 8.1.
    if (now.text("lists").equals("none")) throw new RestFault(404, "HTTP 404 Not Found");
    if (steps.size() == 2) {
      List<Object> all = new ArrayList<>();
      for (Authority ca : authorities.values())
        all.add(Map.of("id", ca.id, "name", ca.name, "subject_dn", ca.subject().toString(),
            "issuer_dn", ca.chain.get(1).getSubjectX500Principal().getName(), "expiration_date", "2036-01-01T00:00:00Z"));
      write(response, 200, Map.of("certificate_authorities", all));
      return;
    }
    boolean isDownload = steps.size() == 5 && steps.get(3).equals("certificate") && steps.get(4).equals("download");
    Authority found = authorities.values().stream()
        .filter(ca -> isDownload && Registry.sameName(ca.subject().toString(), steps.get(2)))
        .findFirst()
        .orElseThrow(() -> new RestFault(404, "CA does not exist."));
    StringBuilder text = new StringBuilder();
    for (X509Certificate each : found.chain) text.append("Subject: ").append(each.getSubjectX500Principal()).append('\n').append(Main.pem(each));
    response.setContentType("application/octet-stream");
    response.getOutputStream().write(text.toString().getBytes(StandardCharsets.UTF_8));
  }

  private void enrol(HttpServletRequest request, HttpServletResponse response, Behaviour now) throws IOException, RestFault {
    Enrol body;
    try {
      body = JSON.readValue(request.getInputStream().readAllBytes(), Enrol.class);
    } catch (JsonProcessingException e) {
      throw new RestFault(400, "JSON is not what is taken: " + e.getOriginalMessage());
    }
    if (body.username == null || body.username.isBlank() || body.password == null || body.password.isEmpty())
      throw new RestFault(400, "Username and password are needed.");
    registry.enter(body.username);
    try {
      enrolment.throwFault(now);
      if (body.request == null) throw new Faults.Ejbca("BAD_REQUEST", "Invalid certificate request.");
      PKCS10CertificationRequest csr = Enrolment.read(body.request, 0);
      Enrolment.Made made = enrolment.enrol(userOf(body, csr), csr, "CERTIFICATE", now);
      if (made.isLost()) RawFilter.close(request);
      X509Certificate leaf = made.signed().leaf();
      Map<String, Object> answer = new LinkedHashMap<>();
      answer.put("certificate", encoded(leaf));
      answer.put("serial_number", leaf.getSerialNumber().toString(16).toUpperCase());
      answer.put("response_format", "DER");
      List<Object> above = new ArrayList<>();
      for (X509Certificate each : made.signed().all()) if (each != leaf) above.add(encoded(each));
      if (body.includeChain) answer.put("certificate_chain", above);
      write(response, 201, answer);
    } catch (Faults.AuthorizationDenied fault) {
      throw new RestFault(now.number("status", 403), fault.getMessage());
    } catch (Faults.UserDoesntFullfill | Faults.Approval | Faults.NotFound | Faults.Ejbca fault) {
      throw new RestFault(now.number("status", 400), fault.getMessage());
    } catch (RuntimeException e) {
      throw new RestFault(500, e.toString());
    } finally {
      registry.leave(body.username);
    }
  }

  private static String encoded(X509Certificate certificate) {
    try {
      return Base64.getEncoder().encodeToString(certificate.getEncoded());
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  private static UserDataVOWS userOf(Enrol body, PKCS10CertificationRequest csr) {
    UserDataVOWS user = new UserDataVOWS();
    user.username = body.username;
    user.password = body.password;
    user.email = body.email;
    user.caName = String.valueOf(body.authority);
    user.endEntityProfileName = String.valueOf(body.endEntityProfile);
    user.certificateProfileName = String.valueOf(body.certificateProfile);
    user.tokenType = "USERGENERATED";
    user.status = 10;
    user.subjectDN = csr.getSubject().toString();
    user.subjectAltName = namesOf(csr);
    return user;
  }

  /** In the text form of EJBCA. */
  private static String namesOf(PKCS10CertificationRequest csr) {
    Extensions extensions = csr.getRequestedExtensions();
    GeneralNames names = extensions == null ? null : GeneralNames.fromExtensions(extensions, Extension.subjectAlternativeName);
    if (names == null) return "";
    List<String> parts = new ArrayList<>();
    for (GeneralName name : names.getNames()) {
      String value = name.getName().toString();
      switch (name.getTagNo()) {
        case GeneralName.dNSName -> parts.add("dNSName=" + value.replaceAll("[\\\\,]", "\\\\$0"));
        case GeneralName.iPAddress -> parts.add("iPAddress=" + address(value.substring(1)));
        default -> throw new IllegalArgumentException("a name of type " + name.getTagNo());
      }
    }
    return String.join(",", parts);
  }

  private static String address(String hex) {
    try {
      byte[] bytes = new BigInteger("01" + hex, 16).toByteArray();
      return java.net.InetAddress.getByAddress(java.util.Arrays.copyOfRange(bytes, 1, bytes.length)).getHostAddress();
    } catch (java.net.UnknownHostException e) {
      throw new IllegalArgumentException(e);
    }
  }

  private void revoke(HttpServletRequest request, HttpServletResponse response, String issuer, String serial)
      throws IOException, RestFault {
    int reason = REASONS.indexOf(String.valueOf(request.getParameter("reason")));
    if (reason < 0 || reason == 7) throw new RestFault(400, "Invalid revocation reason.");
    if (behaviour.get().is("revocation approval")) {
      write(response, 202, Map.of("message", "Revocation of certificate has been added for approval", "revoked", false));
      return;
    }
    Registry.Entry entry = registry.find(issuer, serial);
    if (entry == null) throw new RestFault(404, "Certificate with issuer: " + issuer + " and serial number: " + serial + " not found.");
    synchronized (entry) {
      if (entry.reason >= 0) throw new RestFault(409, "Certificate with issuer: " + issuer + " and serial number: " + serial + " has previously been revoked.");
      entry.reason = reason;
    }
    write(response, 200, Map.of("issuer_dn", issuer, "serial_number", serial, "revocation_reason", REASONS.get(reason), "revoked", true));
  }

  private static void write(HttpServletResponse response, int status, Map<String, Object> body) throws IOException {
    response.setStatus(status);
    response.setContentType("application/json");
    response.getOutputStream().write(JSON.writeValueAsBytes(body));
  }
}

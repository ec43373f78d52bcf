package dev.countersign.ejbca;

import dev.countersign.ejbca.ws.Faults;
import dev.countersign.ejbca.ws.UserDataVOWS;
import jakarta.servlet.http.HttpServletRequest;
import java.security.cert.X509Certificate;
import java.text.ParseException;
import java.text.SimpleDateFormat;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;

/** What EJBCA does with a request, whichever interface it came by: end entities with a status, unique subjects and keys, profiles with limits. */
public final class Enrolment {
  /** What was signed; whether the answer is to be lost. */
  public record Made(Authority ca, Issuance.Signed signed, boolean isLost) {}

  /** End entity profiles: number, most DNS names, most addresses. */
  record Profile(int id, int dnsNames, int addresses) {}

  static final Map<String, Profile> PROFILES = Map.of("ACME", new Profile(201, 100, 10), "NARROW", new Profile(202, 2, 0));
  /** Certificate profiles: days of validity. */
  static final Map<String, Integer> CERTIFICATE_PROFILES = Map.of("SERVER", 7, "OVERRIDE", 365, "APPROVAL", 7);
  private static final long DAY = 86_400_000L;
  private static final long BACKDATE = 600_000L;
  private static final int NEW = 10;
  private static final int GENERATED = 40;

  private final Map<String, Authority> authorities;
  private final Registry registry;

  public Enrolment(Map<String, Authority> authorities, Registry registry) {
    this.authorities = authorities;
    this.registry = registry;
  }

  /** The role's only member is the certificate with this common name. */
  public static boolean isAdministrator(HttpServletRequest request) {
    X509Certificate[] peer = (X509Certificate[]) request.getAttribute("jakarta.servlet.request.X509Certificate");
    return peer != null && peer[0].getSubjectX500Principal().getName().matches("(.*,)?CN=operator(,.*)?");
  }

  public static void authorize(HttpServletRequest request) throws Faults.AuthorizationDenied {
    if (!isAdministrator(request))
      throw new Faults.AuthorizationDenied("Admin was not authorized to resource /administrator.");
  }

  public void throwFault(Behaviour now)
      throws Faults.AuthorizationDenied, Faults.NotFound, Faults.UserDoesntFullfill, Faults.Approval, Faults.Ejbca {
    if (!now.is("fault") || !now.takes("fault")) return;
    String code = now.text("code");
    String message = now.text("message");
    switch (now.text("fault")) {
      case "AuthorizationDenied" -> throw new Faults.AuthorizationDenied(message);
      case "UserDoesntFullfill" -> throw new Faults.UserDoesntFullfill(message);
      case "Approval" -> throw new Faults.Approval(code, message);
      case "NotFound" -> throw new Faults.NotFound(code, message);
      case "Runtime" -> throw new IllegalStateException(message);
      default -> throw new Faults.Ejbca(code, message);
    }
  }

  private Authority checkSettings(UserDataVOWS user) throws Faults.Approval, Faults.Ejbca {
    Authority ca = authorities.get(user.caName);
    if (ca == null) throw new Faults.Ejbca("CA_NOT_EXISTS", "CA with name " + user.caName + " does not exist");
    if (!PROFILES.containsKey(user.endEntityProfileName))
      throw new Faults.Ejbca("EE_PROFILE_NOT_EXISTS", "End Entity Profile " + user.endEntityProfileName + " does not exist.");
    if (!CERTIFICATE_PROFILES.containsKey(user.certificateProfileName))
      throw new Faults.Ejbca("CERT_PROFILE_NOT_EXISTS", "Certificate profile " + user.certificateProfileName + " does not exist");
    if (user.certificateProfileName.equals("APPROVAL"))
      throw new Faults.Approval(null, "org.ejbca.core.model.approval.ApprovalException: Single transaction enrollment request rejected by certificate profile approvals.");
    if (!"USERGENERATED".equals(user.tokenType))
      throw new Faults.Ejbca("UNKOWN_TOKEN_TYPE", "Unknown token type " + user.tokenType);
    if (user.status != NEW) throw new Faults.Ejbca("USER_WRONG_STATUS", "wrong status " + user.status);
    return ca;
  }

  private void checkNames(UserDataVOWS user) throws Faults.UserDoesntFullfill {
    Profile profile = PROFILES.get(user.endEntityProfileName);
    List<GeneralName> names;
    try {
      names = Issuance.names(user.subjectAltName == null ? "" : user.subjectAltName);
    } catch (Exception e) {
      throw new Faults.UserDoesntFullfill(
          "org.ejbca.core.model.ra.raadmin.EndEntityProfileValidationException: " + e.getMessage());
    }
    long dns = names.stream().filter(name -> name.getTagNo() == GeneralName.dNSName).count();
    long addresses = names.stream().filter(name -> name.getTagNo() == GeneralName.iPAddress).count();
    if (dns > profile.dnsNames())
      throw new Faults.UserDoesntFullfill("Wrong number of DNSNAME fields in Subject Alternative Name.");
    if (addresses > profile.addresses())
      throw new Faults.UserDoesntFullfill("Wrong number of IPADDRESS fields in Subject Alternative Name.");
    if (names.stream().anyMatch(name -> name.getName().toString().startsWith("refused.")))
      throw new Faults.UserDoesntFullfill(
          "org.ejbca.core.model.ra.raadmin.EndEntityProfileValidationException: names that begin with \"refused\" are not\r\nsigned \u202ehere");
  }

  public static PKCS10CertificationRequest read(String data, int type) throws Faults.Ejbca {
    if (type != 0) throw new Faults.Ejbca("BAD_REQUEST", "Unsupported request type " + type);
    try {
      String text = data.replaceAll("-----[^-]+-----", "");
      PKCS10CertificationRequest csr = new PKCS10CertificationRequest(Base64.getMimeDecoder().decode(text));
      if (csr.isSignatureValid(new JcaContentVerifierProviderBuilder().setProvider("BC").build(csr.getSubjectPublicKeyInfo()))) return csr;
    } catch (Exception e) {
      throw new Faults.Ejbca("BAD_REQUEST", "java.io.IOException: no PKCS#10 request: " + e.getMessage());
    }
    throw new Faults.Ejbca("SIGNATURE_ERROR", "POP verification failed.");
  }

  /** Edits the end entity and signs for it, as one transaction. */
  public Made enrol(UserDataVOWS user, PKCS10CertificationRequest csr, String responseType, Behaviour now)
      throws Faults.UserDoesntFullfill, Faults.Approval, Faults.Ejbca {
    if (user.subjectDN == null) user.subjectDN = "";
    Authority ca = checkSettings(user);
    checkNames(user);
    SubjectPublicKeyInfo key = csr.getSubjectPublicKeyInfo();
    try {
      if (registry.hasKeyOfAnother(user, key.getEncoded()))
        throw new Faults.Ejbca("CERTIFICATE_FOR_THIS_KEY_ALREADY_EXISTS_FOR_ANOTHER_USER",
            "User '" + user.username + "' is not allowed to use same key as another user is using.");
      if (registry.hasSubjectOfAnother(user))
        throw new Faults.Ejbca("CERTIFICATE_WITH_THIS_SUBJECTDN_ALREADY_EXISTS_FOR_ANOTHER_USER",
            "User '" + user.username + "' is not allowed to use same subject DN as the user(s) 'other' is/are using.");
      Date[] validity = validity(user);
      // The transaction would be rolled back.
      if (!Set.of("CERTIFICATE", "PKCS7WITHCHAIN").contains(responseType))
        throw new Faults.Ejbca("INTERNAL_ERROR", "Invalid responseType: " + responseType);
      // Between the edit of the end entity and its use another request may edit it too.
      registry.put(user);
      Thread.sleep(now.number("window", 5));
      Registry.EndEntity entity = registry.entity(user.username);
      if (entity.data != user) throw new Faults.Ejbca("LOGIN_ERROR", "Got request with incorrect password for user " + user.username);
      if (entity.status != NEW) throw new Faults.Ejbca("USER_WRONG_STATUS", "Got request with status GENERATED (40), NEW, FAILED or INPROCESS required: " + user.username + ".");
      int copies = now.is("twice") ? 2 : 1;
      Issuance.Signed signed = null;
      for (int i = 0; i < copies; i++) {
        signed = Issuance.sign(ca, user, key, validity, now.is("wrong") ? now.text("what") : "");
        Registry.Entry entry = new Registry.Entry();
        entry.username = user.username;
        entry.caName = user.caName;
        entry.subjectDN = user.subjectDN;
        entry.certificate = signed.leaf();
        registry.add(entry);
      }
      entity.status = GENERATED;
      if (now.is("slow")) Thread.sleep(now.number("ms", 1000));
      return new Made(ca, signed, now.is("lose") && now.takes("lose"));
    } catch (Faults.Ejbca fault) {
      throw fault;
    } catch (Exception e) {
      throw new Faults.Ejbca("INTERNAL_ERROR", e.toString());
    }
  }

  private Date[] validity(UserDataVOWS user) throws Faults.Ejbca {
    long now = System.currentTimeMillis() / 1000 * 1000;
    Date start = new Date(now - BACKDATE);
    Date end = new Date(start.getTime() + CERTIFICATE_PROFILES.get(user.certificateProfileName) * DAY);
    if (user.startTime == null && user.endTime == null) return new Date[] {start, end};
    if (!user.certificateProfileName.equals("OVERRIDE"))
      throw new Faults.Ejbca("_FIELD_VALUE_NOT_VALID", "Certificate profile does not allow validity override.");
    Date wantedStart = user.startTime == null ? start : time(user.startTime);
    Date wantedEnd = user.endTime == null ? end : time(user.endTime);
    return new Date[] {wantedStart, wantedEnd.before(end) ? wantedEnd : end};
  }

  private static Date time(String text) throws Faults.Ejbca {
    try {
      SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd HH:mm:ssXXX");
      format.setLenient(false);
      return format.parse(text);
    } catch (ParseException e) {
      throw new Faults.Ejbca("BAD_VALIDITY_FORMAT", "no time: " + text);
    }
  }
}

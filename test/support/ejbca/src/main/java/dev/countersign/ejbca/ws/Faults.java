package dev.countersign.ejbca.ws;

import jakarta.xml.bind.annotation.XmlAccessType;
import jakarta.xml.bind.annotation.XmlAccessorType;
import jakarta.xml.bind.annotation.XmlType;
import jakarta.xml.ws.WebFault;

/** The declared faults: an element named after each in the namespace of the service, its children in none. */
public final class Faults {
  private Faults() {}

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "errorCode", namespace = EjbcaWS.NS)
  public static class ErrorCode {
    public String internalErrorCode;
  }

  static ErrorCode codeOf(String code) {
    if (code == null || code.isEmpty()) return null;
    ErrorCode made = new ErrorCode();
    made.internalErrorCode = code;
    return made;
  }

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "EjbcaException", namespace = EjbcaWS.NS, propOrder = {"errorCode", "message"})
  public static class EjbcaInfo {
    public ErrorCode errorCode;
    public String message;
  }

  @WebFault(name = "EjbcaException", targetNamespace = EjbcaWS.NS)
  public static class Ejbca extends Exception {
    private final EjbcaInfo info = new EjbcaInfo();

    public Ejbca(String code, String message) {
      super(message);
      info.errorCode = codeOf(code);
      info.message = message;
    }

    public EjbcaInfo getFaultInfo() {
      return info;
    }
  }

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "NotFoundException", namespace = EjbcaWS.NS, propOrder = {"errorCode", "message"})
  public static class NotFoundInfo {
    public ErrorCode errorCode;
    public String message;
  }

  @WebFault(name = "NotFoundException", targetNamespace = EjbcaWS.NS)
  public static class NotFound extends Exception {
    private final NotFoundInfo info = new NotFoundInfo();

    public NotFound(String code, String message) {
      super(message);
      info.errorCode = codeOf(code);
      info.message = message;
    }

    public NotFoundInfo getFaultInfo() {
      return info;
    }
  }

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "ApprovalException", namespace = EjbcaWS.NS, propOrder = {"errorCode", "message"})
  public static class ApprovalInfo {
    public ErrorCode errorCode;
    public String message;
  }

  @WebFault(name = "ApprovalException", targetNamespace = EjbcaWS.NS)
  public static class Approval extends Exception {
    private final ApprovalInfo info = new ApprovalInfo();

    public Approval(String code, String message) {
      super(message);
      info.errorCode = codeOf(code);
      info.message = message;
    }

    public ApprovalInfo getFaultInfo() {
      return info;
    }
  }

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "AlreadyRevokedException", namespace = EjbcaWS.NS, propOrder = {"errorCode", "message"})
  public static class AlreadyRevokedInfo {
    public ErrorCode errorCode;
    public String message;
  }

  @WebFault(name = "AlreadyRevokedException", targetNamespace = EjbcaWS.NS)
  public static class AlreadyRevoked extends Exception {
    private final AlreadyRevokedInfo info = new AlreadyRevokedInfo();

    public AlreadyRevoked(String code, String message) {
      super(message);
      info.errorCode = codeOf(code);
      info.message = message;
    }

    public AlreadyRevokedInfo getFaultInfo() {
      return info;
    }
  }

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "CADoesntExistsException", namespace = EjbcaWS.NS, propOrder = {"errorCode", "message"})
  public static class CADoesntExistsInfo {
    public ErrorCode errorCode;
    public String message;
  }

  @WebFault(name = "CADoesntExistsException", targetNamespace = EjbcaWS.NS)
  public static class CADoesntExists extends Exception {
    private final CADoesntExistsInfo info = new CADoesntExistsInfo();

    public CADoesntExists(String code, String message) {
      super(message);
      info.errorCode = codeOf(code);
      info.message = message;
    }

    public CADoesntExistsInfo getFaultInfo() {
      return info;
    }
  }

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "AuthorizationDeniedException", namespace = EjbcaWS.NS, propOrder = {"message"})
  public static class AuthorizationDeniedInfo {
    public String message;
  }

  @WebFault(name = "AuthorizationDeniedException", targetNamespace = EjbcaWS.NS)
  public static class AuthorizationDenied extends Exception {
    private final AuthorizationDeniedInfo info = new AuthorizationDeniedInfo();

    public AuthorizationDenied(String message) {
      super(message);
      info.message = message;
    }

    public AuthorizationDeniedInfo getFaultInfo() {
      return info;
    }
  }

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "UserDoesntFullfillEndEntityProfile", namespace = EjbcaWS.NS, propOrder = {"message"})
  public static class UserDoesntFullfillInfo {
    public String message;
  }

  @WebFault(name = "UserDoesntFullfillEndEntityProfile", targetNamespace = EjbcaWS.NS)
  public static class UserDoesntFullfill extends Exception {
    private final UserDoesntFullfillInfo info = new UserDoesntFullfillInfo();

    public UserDoesntFullfill(String message) {
      super(message);
      info.message = message;
    }

    public UserDoesntFullfillInfo getFaultInfo() {
      return info;
    }
  }

  @XmlAccessorType(XmlAccessType.FIELD)
  @XmlType(name = "WaitingForApprovalException", namespace = EjbcaWS.NS, propOrder = {"message", "requestId"})
  public static class WaitingForApprovalInfo {
    public String message;
    public int requestId;
  }

  @WebFault(name = "WaitingForApprovalException", targetNamespace = EjbcaWS.NS)
  public static class WaitingForApproval extends Exception {
    private final WaitingForApprovalInfo info = new WaitingForApprovalInfo();

    public WaitingForApproval(String message, int requestId) {
      super(message);
      info.message = message;
      info.requestId = requestId;
    }

    public WaitingForApprovalInfo getFaultInfo() {
      return info;
    }
  }
}
